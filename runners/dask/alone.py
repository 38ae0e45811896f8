"""A call at which workers have been lost gets a process to itself before it is to blame.

Several threads of a worker are at calls at once, and all of them are lost with it, those that did
nothing wrong as well. So the last try of such a call begins when nothing else is under way in its
process, and nothing begins beside it: if this worker is lost too, it is for that call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 0.1


class Gate:
    """Lets many batches into a process at once, or one alone; who wants to be alone comes next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0  # to be alone
        self._is_closed = False  # one is alone

    def enter(self, alone: bool = False, is_over: Callable[[], bool] = lambda: True) -> bool:
        """Come in, when there is room or never, if it is over before; whether it has to leave."""
        with self._changed:
            self._waiting += alone
            try:
                while not self._has_room(alone):
                    if is_over():
                        return False
                    self._changed.wait(_LOOK_SECONDS)
                self._inside += 1
                self._is_closed = alone
                return True
            finally:
                self._waiting -= alone
                self._changed.notify_all()

    def leave(self) -> None:
        """A batch has ended."""
        with self._changed:
            self._inside -= 1
            self._is_closed = False
            self._changed.notify_all()

    def _has_room(self, alone: bool) -> bool:
        if alone:
            return not self._inside
        return not (self._waiting or self._is_closed)

    @contextmanager
    def passed(self, alone: bool, is_over: Callable[[], bool]) -> Iterator[None]:
        """Be in, however long it takes to come in; not if it is over before that."""
        is_in = self.enter(alone, is_over)
        try:
            yield
        finally:
            if is_in:
                self.leave()


gate = Gate()
"""Of this process."""
