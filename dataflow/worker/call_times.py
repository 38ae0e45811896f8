"""When calls that are made one after the other ended, written down where it outlives the worker.

The last few thousand of them stand on the board, so that a single store says both that a call has
ended and which one is under way. Those before them are kept in a column, as they are reported.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Literal, overload

from dataflow.worker.board import POSITION, TIMED, TIMED_CALLS, WORDS, Board, count_times

NANOSECONDS: Literal["l"] = "l"
"""In arrays: 64 bits, as "q" has, which takes half as long again to set."""
_NONE = memoryview(bytes(8 * TIMED_CALLS)).cast(NANOSECONDS)


class CallTimes(Sequence[int]):
    """The times of the calls that have ended, in nanoseconds of ``ticks_ns``; never 0.

    Args:
        board: the worker's.
        lock: held while calls that have ended are reported; another thread may do that.
    """

    def __init__(self, board: Board, lock: threading.Lock) -> None:
        self._board = board
        self._lock = lock
        self._before = array(NANOSECONDS)
        self._is_seen = len(board) > WORDS  # else nobody looks at it
        room: Any = board[WORDS:] if self._is_seen else bytearray(8 * TIMED_CALLS)
        self._room = memoryview(room).cast("B").cast(NANOSECONDS)
        self._window = self._room[:0]
        self._least = 0

    def windows(
        self, columns: Sequence[Iterator[Any]], elements: int, width: int
    ) -> Iterator[tuple[int, list[memoryview], Iterator[tuple[Any, ...]]]]:
        """Go through the elements of a batch, of which each makes ``width`` calls.

        Args:
            columns: what elements have, and what others have that come after them.
            elements: how many there are.
            width: how many calls each makes.

        Yields:
            The position of the next call; for the first call of each element, for the second and so
            on, places for the times from there on, which are all 0; and as many elements as there
            are places, each with the number of its own. The next is asked for when all have ended.
        """
        room = TIMED_CALLS // width
        while len(self) == len(self._before) + len(self._window):
            self._open(room * width)
            places = range(min(room, elements - len(self) // width))
            ends = [self._window[number::width] for number in range(width)]
            yield len(self._before), ends, zip(places, *columns, strict=False)

    def _open(self, size: int) -> None:
        """Keep the times that are in the window, and open another one."""
        with self._lock:
            self._before.frombytes(self._window[: self._count()].cast("B"))
            self._show(0)
            self._window = self._room[:size]
            self._window[:] = _NONE[:size]  # there may be times of an earlier batch
            self._least = 0
            self._show(size)

    def _show(self, size: int) -> None:
        if self._is_seen:
            self._board[TIMED] = 0
            self._board[POSITION] = len(self._before)
            self._board[TIMED] = size

    def append(self, time: int) -> None:
        """The call under way has ended."""
        at = self._count()
        if at == len(self._window):
            self._open(TIMED_CALLS)
            at = 0
        self._window[at] = time

    def _count(self) -> int:
        """How many places of the window are taken."""
        least, window = self._least, self._window
        if least < len(window) and window[least]:
            self._least = least = count_times(window, least)
        return least

    def __len__(self) -> int:
        return len(self._before) + self._count()

    def packed(self, start: int, stop: int) -> bytes:
        """Those from ``start`` to ``stop``, as 64-bit integers; so many calls have ended."""
        before = memoryview(self._before)
        first, last = (max(at - len(before), 0) for at in (start, stop))
        return b"".join((before[start:stop], self._window[first:last]))

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> array[int]: ...

    def __getitem__(self, at: int | slice) -> int | array[int]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return array(NANOSECONDS, self.packed(start, stop))[::step]
        before = self._before
        at = range(len(self))[at]
        return before[at] if at < len(before) else self._window[at - len(before)]
