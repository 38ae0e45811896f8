"""Times that stand on a board are those of a list, and say which call is under way."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.worker.board import BATCH, BOARD_BYTES, TIMED_CALLS, WORDS, begin, position_of
from dataflow.worker.call_times import CallTimes

CALLS = 2 * TIMED_CALLS + 100
widths = st.sampled_from([1, 2, 3, 5, 1000, TIMED_CALLS])


def used_board() -> Any:
    """A board on which an earlier batch has left its times."""
    board = memoryview(bytearray(BOARD_BYTES)).cast("q")
    for at in range(WORDS, len(board)):
        board[at] = 1
    begin(board, 7)
    return board


@given(width=widths, elements=st.integers(0, CALLS), by_itself=st.sets(st.integers(0, 20)))
def test_they_are_those_of_a_list(width: int, elements: int, by_itself: set[int]) -> None:
    elements = min(elements, CALLS // width)
    board = used_board()
    times, told, time = CallTimes(board, threading.Lock()), [], 0
    for base, ends, rows in times.windows([iter(range(CALLS))], elements, width):
        assert base == len(told) == len(times) == position_of(board)
        assert len(ends) == width
        room = sum(map(len, ends))
        for at, element in rows:
            for number in range(width):
                time += 1
                if element in by_itself:
                    times.append(time)
                else:
                    ends[number][at] = time
                told.append(time)
            if element % 500 == 0:
                assert len(times) == len(told)
                assert position_of(board) == min(len(told), base + room - 1)
    assert len(told) == elements * width
    assert list(times) == told
    assert board[BATCH] == 7


@given(
    count=st.integers(1, CALLS),
    start=st.integers(-CALLS, CALLS),
    stop=st.integers(-CALLS, CALLS),
    step=st.sampled_from([1, 2, 3]),
)
def test_their_parts_are_those_of_a_list(count: int, start: int, stop: int, step: int) -> None:
    times = CallTimes([0] * WORDS, threading.Lock())
    for time in range(1, count + 1):
        times.append(time)
    told = list(range(1, count + 1))
    assert list(times[start:stop:step]) == told[start:stop:step]
    assert times[-1] == count
    assert times[0] == 1
    for at in (start, stop):
        if -count <= at < count:
            assert times[at] == told[at]
        else:
            with pytest.raises(IndexError):
                times[at]


def test_nobody_looks_at_a_board_without_places() -> None:
    board = [0] * WORDS
    times = CallTimes(board, threading.Lock())
    times.append(5)
    assert list(times) == [5]
    assert board == [0] * WORDS
