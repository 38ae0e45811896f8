"""What other processes want of the runs of this one: looked at four times a second.

The thread that writes records does it between two writes, while there are any. It costs some
microseconds: the database is asked for a number that changes when anyone else has written, and only
then for more. A sign of life is given every few seconds, and at the same time runs are looked for
whose processes have vanished.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dataflow.clock import monotonic
from dataflow.model.states import StateCode
from dataflow.process_ids import this_process
from dataflow.store.run_control import BEAT_SECONDS
from dataflow.store.run_store import RunStore

LOOK_SECONDS = 0.25
_logger = logging.getLogger("dataflow.control")


class RunWatch:
    """The watch of one process.

    Attributes:
        tag_limits: the limits on tags that there were when it last looked.

    Args:
        cancelled: called with a run's id when somebody wants it cancelled, and with what was said;
            at least once, and it must not wait for anything.
        resumed: the same when somebody resumes it, with what was put in.
        hooks_due: called with the store and the ids of runs that nobody drives any more and whose
            hooks have not been called; it must not wait for anything either.
    """

    def __init__(
        self,
        cancelled: Callable[[str, str | None], None],
        resumed: Callable[[str, str | None], None],
        hooks_due: Callable[[RunStore, list[str]], None],
    ) -> None:
        self._cancelled = cancelled
        self._resumed = resumed
        self._hooks_due = hooks_due
        self._lock = threading.Lock()
        self._runs: set[str] = set()
        self.tag_limits: frozenset[str] = frozenset()
        self._next_look = 0.0
        self._next_beat = 0.0
        self._seen: int | None = None

    def attend(self, run_id: str) -> None:
        """A run of this process begins: it looks before that has been recorded."""
        with self._lock:
            self._runs.add(run_id)
            self._next_look = 0.0

    def leave(self, run_id: str) -> None:
        """It has ended."""
        with self._lock:
            self._runs.discard(run_id)

    def seconds_left(self) -> float | None:
        """How long until it should look; None: there is nothing to look for."""
        return max(self._next_look - monotonic(), 0.0) if self._runs else None

    def look(self, store: RunStore) -> None:
        """Look, if it is time to; what cannot be read now may be readable the next time."""
        if not self._runs or monotonic() < self._next_look:
            return
        self._next_look = monotonic() + LOOK_SECONDS
        try:
            self._look(store)
        except Exception as error:
            _logger.warning("Could not look after the runs of this process: %s", error)

    def _look(self, store: RunStore) -> None:
        control = store.control
        version = control.version()
        if version != self._seen:
            for run_id, code, said in control.wanted(this_process()):
                (self._cancelled if code == StateCode.CANCELLING else self._resumed)(run_id, said)
            self.tag_limits = store.slots.tag_limits()
            self._seen = version
        now = monotonic()
        if now >= self._next_beat:
            is_first, self._next_beat = not self._next_beat, now + BEAT_SECONDS
            if not is_first:  # the run that has just begun says as much
                control.beat(this_process())
            control.crash_vanished()
            due = control.runs_with_due_hooks()
            if due:
                self._hooks_due(store, due)
