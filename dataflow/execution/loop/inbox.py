"""What a thread is to do, as messages: some at once, some when a time has passed."""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Callable
from itertools import count

Message = Callable[[], None]
_MOST_AT_ONCE = 100


class Inbox:
    """The messages of one thread, which alone takes them and puts those for later.

    Attributes:
        put: has something done; from any thread.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.put = self._waiting.put
        self._later: list[tuple[float, int, Message]] = []
        self._order = count()

    def put_later(self, seconds: float, message: Message) -> None:
        """Have something done after so many seconds."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), message))

    def take(self) -> list[Message]:
        """Wait for what is to be done, and take a handful."""
        messages: list[Message] = []
        timeout = None
        if self._later:
            timeout = max(self._later[0][0] - time.monotonic(), 0)
        try:
            messages.append(self._waiting.get(timeout=timeout))
            while len(messages) < _MOST_AT_ONCE:
                messages.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        while self._later and self._later[0][0] <= time.monotonic():
            messages.append(heapq.heappop(self._later)[2])
        return messages

    def drop_later(self) -> None:
        """Nothing of what was put for later is to be done."""
        self._later.clear()
