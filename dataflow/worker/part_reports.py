"""Batches that take long report in parts, so that a slow call hides nothing that others did."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass

from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.outcomes import Deliver, Pack, clock

PART_SECONDS = 0.1


@dataclass(slots=True)
class _Asked:
    """A batch under way, and when it is asked next (``clock`` nanoseconds)."""

    carrier: BatchCarrier
    deliver: Deliver
    pack: Pack | None
    due: int
    every: int
    late: Callable[[], None] | None
    context: Context


class PartReporter:
    """A thread that asks the batches of this process what they have done meanwhile."""

    def __init__(self) -> None:
        self._asked: dict[BatchCarrier, _Asked] = {}
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(
        self,
        carrier: BatchCarrier,
        deliver: Deliver,
        pack: Pack | None = None,
        seconds: float = PART_SECONDS,
        late: Callable[[], None] | None = None,
    ) -> None:
        """Ask a batch for a part of its report every so many seconds.

        Args:
            carrier: what carries it out.
            deliver, pack: see ``BatchCarrier.report_part``.
            seconds: between two parts.
            late: called each time before it is asked: the batch is taking its time.
        """
        every = int(seconds * 1e9)
        context = copy_context()  # what is pickled may be found by it
        self._asked[carrier] = _Asked(carrier, deliver, pack, clock() + every, every, late, context)
        if self._thread is None or not self._thread.is_alive():  # a forked child has it not
            self._start()
        if not self._wanted.is_set():
            self._wanted.set()

    def forget(self, carrier: BatchCarrier) -> None:
        """Ask no more: it has ended."""
        del self._asked[carrier]

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="dataflow part reports", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            time.sleep(PART_SECONDS)
            self._ask_all()  # no variable here, so that no batch is held while it waits

    def _ask_all(self) -> None:
        now = clock()
        for asked in list(self._asked.values()):
            self._wanted.set()
            if asked.due <= now:
                asked.due = now + asked.every
                with contextlib.suppress(OSError, EOFError):  # whoever wants to know has gone
                    if asked.late is not None:
                        asked.late()
                    report = asked.carrier.report_part
                    asked.context.run(report, asked.deliver, asked.pack)


part_reporter = PartReporter()
"""The one of this process."""
