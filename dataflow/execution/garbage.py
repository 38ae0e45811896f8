"""Python's garbage collector while runs are on: it looks at old objects less often.

A run keeps what was submitted until its end: hundreds of thousands of small objects, none of them
garbage. The collector goes over all of them again with every quarter that they grow by, which was
a third of what a ``submit`` costs. New objects are looked at as often as ever, so that what falls
into cycles is soon gone; the rest is looked at after five times as many.
"""

from __future__ import annotations

import gc
import threading

_TIMES = 5


class SparingCollector:
    """Counts the runs; the first has the collector spare old objects, the last sets it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: set[str] = set()
        self._before: tuple[int, int, int] | None = None
        self._ours: tuple[int, int, int] | None = None

    def begin(self, run_id: str) -> None:
        """A run begins."""
        with self._lock:
            if not self._runs:
                self._before = gc.get_threshold()
                young, middle, old = self._before
                self._ours = (young, middle, old * _TIMES)
                gc.set_threshold(*self._ours)
            self._runs.add(run_id)

    def end(self, run_id: str) -> None:
        """A run has ended; what somebody else has set meanwhile stays."""
        with self._lock:
            self._runs.discard(run_id)
            if not self._runs and self._before is not None:
                if gc.get_threshold() == self._ours:
                    gc.set_threshold(*self._before)
                self._before = None


sparing_collector = SparingCollector()
