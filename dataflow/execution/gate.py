"""What one thread waits at until another lets it go on; it opens once.

It does what ``threading.Event`` does, with nothing but one lock: a body that is interrupted just as
it begins to wait can leave an event locked for ever, and whoever sets that would wait for ever.
"""

from __future__ import annotations

import contextlib
import threading


class Gate:
    """Closed at first."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let whoever waits go on, now or later; never waits itself."""
        with contextlib.suppress(RuntimeError):  # it is open
            self._lock.release()

    @property
    def is_open(self) -> bool:
        """Whether it has been opened."""
        return not self._lock.locked()

    def wait(self, seconds: float = -1) -> bool:
        """Wait for one thread's sake until it is open, but no longer than that; whether it is."""
        if not self._lock.acquire(timeout=seconds):
            return False
        self.open()
        return True
