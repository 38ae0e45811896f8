"""How many batches compute at once in a Dask worker that has a line to the flow's process.

Batches that come over the line and those that Dask gave the worker run in different threads, and
must not be more together than the worker's own number of threads. Dask does not know of those that
came over the line, so a batch that it gave to a worker that is at a long one is sent elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LOOK_SECONDS = 0.05
_LATE_SECONDS = 0.2  # longer than any batch that was expected to be short


class Slots:
    """Slots of a worker process, given to threads first come, first served.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._turns: deque[threading.Lock] = deque()
        self._since: dict[int, float] = {}  # when each thread got its slot
        self._freed: list[Callable[[], object]] = []

    def acquire(self, seconds: float) -> bool:
        """Wait for a slot, for at most so long; whether this thread has one now."""
        with self._lock:
            if self._free:
                self._free -= 1
                self._since[threading.get_ident()] = time.monotonic()
                return True
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        if not turn.acquire(timeout=seconds):
            with self._lock:
                if turn in self._turns:
                    self._turns.remove(turn)
                    return False
        self._since[threading.get_ident()] = time.monotonic()
        return True

    def release(self) -> None:
        """Give this thread's slot to the next that waits."""
        with self._lock:
            del self._since[threading.get_ident()]
            freed, self._freed = self._freed, []
            if self._turns:
                self._turns.popleft().release()
            else:
                self._free += 1
        for call in freed:
            call()

    def when_freed(self, call: Callable[[], object]) -> None:
        """Have something called once, when a slot has been given back."""
        with self._lock:
            if not self._free:
                self._freed.append(call)
                return
        call()

    @property
    def are_late(self) -> bool:
        """Whether each has been taken for longer than a short batch takes."""
        before = time.monotonic() - _LATE_SECONDS
        return not self._free and all(since < before for since in list(self._since.values()))


_slots: dict[Any, Slots] = {}


def slots_of(worker: Any) -> Slots:
    """The slots of a worker, made for the first that asks."""
    return _slots.setdefault(worker.id, Slots(worker.state.nthreads))


@contextmanager
def slot_for_dask(worker: Any) -> Iterator[None]:
    """A slot for a batch that Dask gave this worker.

    Raises:
        distributed.Reschedule: there will be none for long; Dask should look for another worker.
    """
    slots = _slots.get(worker.id)
    if slots is None:  # it has no line
        yield
        return
    while not slots.acquire(_LOOK_SECONDS):
        if slots.are_late:
            _pause(worker, slots)
    try:
        yield
    finally:
        slots.release()


def _pause(worker: Any, slots: Slots) -> None:
    """Have Dask give this worker nothing until a slot is free, and take back what waits for one."""
    from distributed import Reschedule, Status

    def set_status(before: Status, after: Status) -> None:
        if worker.status is before:
            worker.status = after

    worker.loop.add_callback(set_status, Status.running, Status.paused)
    slots.when_freed(lambda: worker.loop.add_callback(set_status, Status.paused, Status.running))
    raise Reschedule
