"""The event loop of a process, on which batches of ``async`` tasks run beside all others.

One loop for all of them: what users keep open on it (sessions, pools) serves every call, and a slow
call keeps no thread from others. It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextvars import Context

from dataflow.model.batches import BatchReport
from dataflow.worker.async_calls import AsyncBatchCarrier
from dataflow.worker.outcomes import failed_report

Done = Callable[[BatchReport], None]
Cancel = Callable[[], object]
_SPELL_SECONDS = 0.5
_READ_BYTES = 1 << 18  # what asyncio makes room for at each read
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 2 * _READ_BYTES),
    "MALLOC_TRIM_THRESHOLD_": (-1, 4 * _READ_BYTES),
}
"""By what the environment may say: the number of glibc's ``mallopt``, and what it needs to be."""


class AsyncThread:
    """An event loop in a thread, and the batches that run on it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._waiting: queue.SimpleQueue[tuple[AsyncBatchCarrier, Done, Context] | None] = (
            queue.SimpleQueue()
        )
        self._has_helped = False
        self._running: dict[AsyncBatchCarrier, asyncio.Task[None]] = {}
        _keep_room_for_reads()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dataflow async", daemon=True)
        self._thread.start()

    def begin(
        self, carrier: AsyncBatchCarrier, done: Done, context: Context | None = None
    ) -> Cancel:
        """Begin with a batch; ``done`` gets its last report, in the loop's thread.

        Args:
            context: what its calls find in context variables; None: nothing.

        Returns:
            What cancels the calls that have not ended, from any thread; the report still comes.
        """
        carrier.capture()
        self._waiting.put((carrier, done, context or Context()))
        self._loop.call_soon_threadsafe(self._begin_waiting)
        return lambda: self._loop.call_soon_threadsafe(self._cancel, carrier)

    def carry_out(self, carrier: AsyncBatchCarrier, context: Context | None = None) -> BatchReport:
        """Carry out a batch while the calling thread waits; an exception there cancels it."""
        reports: queue.SimpleQueue[BatchReport] = queue.SimpleQueue()
        cancel = self.begin(carrier, reports.put, context)
        try:
            while True:  # in short spells: an exception sent to this thread does not end a wait
                with contextlib.suppress(queue.Empty):
                    return reports.get(timeout=_SPELL_SECONDS)
        except BaseException:
            cancel()
            raise

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's own thread: who waits here keeps it from going on."""
        return threading.current_thread() is self._thread

    def help(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Carry out a batch that could not begin because this thread, the loop's own, waits."""
        self._has_helped = True
        if is_over():
            return
        try:
            found = self._waiting.get(timeout=seconds)
        except queue.Empty:
            return
        if found is not None:
            carrier, done, context = found
            done(context.run(carrier.carry_out))

    def wake(self) -> None:
        """Have who helps see whether its wait is over."""
        if self._has_helped:
            self._waiting.put(None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _begin_waiting(self) -> None:
        while not self._waiting.empty():
            found = self._waiting.get()
            if found is not None:
                carrier, done, context = found
                task = self._loop.create_task(self._carry_out(carrier, done), context=context)
                self._running[carrier] = task

    def _cancel(self, carrier: AsyncBatchCarrier) -> None:
        task = self._running.get(carrier)
        if task is not None:
            task.cancel()

    async def _carry_out(self, carrier: AsyncBatchCarrier, done: Done) -> None:
        try:
            report = await carrier.carry_out_here()
        except asyncio.CancelledError:  # before it had begun
            report = carrier.report()
        except Exception as error:
            report = failed_report(carrier.batch, error)
        finally:
            self._running.pop(carrier, None)
        done(report)


def _keep_room_for_reads() -> None:
    """Have the memory that a read takes stay with this process.

    glibc gets blocks of 128 KiB and more from the system each time, and gives them back, until
    a larger one has been freed: a third of what a request to a local server costs. It learns
    nothing from that where the environment says what to give back, as Dask's nannies have it say
    (64 KiB are kept): there it is told.
    """
    bytes(2 * _READ_BYTES)
    if sys.platform != "linux" or os.environ.keys().isdisjoint(_MALLOC):
        return
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, (parameter, least) in _MALLOC.items():
        if tell is not None and _number(os.environ.get(name)) < least:
            tell(parameter, least)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


_thread: AsyncThread | None = None
_lock = threading.Lock()


def async_thread() -> AsyncThread:
    """The one of this process; a forked child gets its own."""
    global _thread
    with _lock:
        if _thread is None or _thread.pid != os.getpid():
            _thread = AsyncThread()
        return _thread
