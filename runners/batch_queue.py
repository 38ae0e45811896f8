"""Batches that wait for a thread of this process: one that works, or one that waits and helps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection

from dataflow.model.batches import Batch


class BatchQueue:
    """First in, first out. Workers come before helpers, who have something else to wait for."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        # Taken as it is: a helper may be interrupted, and would at times leave it locked if it
        # came by a condition.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._help = threading.Condition(self._lock)
        self._idle = 0

    def put(self, batch: Batch) -> None:
        """A batch waits."""
        with self._lock:
            self._batches.append(batch)
            if self._idle >= len(self._batches):
                self._work.notify()
            else:
                self._help.notify()

    def get(self, is_wanted: Callable[[], bool]) -> Batch | None:
        """The next batch, for a worker; None when it is not wanted any more."""
        with self._lock:
            while is_wanted():
                if self._batches:
                    return self._batches.popleft()
                self._idle += 1
                try:
                    self._work.wait()
                finally:
                    self._idle -= 1
            return None

    def get_until(self, is_over: Callable[[], bool], seconds: float) -> Batch | None:
        """The next batch, for a helper; None when its own wait is over, or none came in time."""
        with self._lock:
            if not self._batches and not is_over():
                self._help.wait(seconds)
            return self._batches.popleft() if self._batches and not is_over() else None

    def wake(self) -> None:
        """Have helpers see whether their wait is over."""
        with self._lock:
            self._help.notify_all()

    def wake_workers(self) -> None:
        """Have workers see whether they are wanted."""
        with self._lock:
            self._work.notify_all()

    def drop(self, batch_ids: Collection[int]) -> None:
        """Take these batches out."""
        with self._lock:
            kept = [batch for batch in self._batches if batch.id not in batch_ids]
            self._batches.clear()
            self._batches.extend(kept)
