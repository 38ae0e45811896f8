"""A worker's board: what it is at, for whoever has to find out why it died.

A few integers in memory that outlives the process. The call under way is written down before it
begins; of concurrent calls, the one whose step the event loop is making. Behind them is room for
the times at which calls ended (``call_times``): the call under way is then the first without one.
"""

from __future__ import annotations

import types
from bisect import bisect_left
from collections.abc import Coroutine, Generator, MutableSequence, Sequence
from operator import not_
from typing import Any

from dataflow.model.batches import Batch

Board = MutableSequence[int]
DEADLINE, POSITION, BATCH, STEP_POSITION, STEP_BATCH, TIMED = range(6)
"""``POSITION``: the call under way, or the first of ``TIMED`` calls with places for times."""
WORDS = 6
TIMED_CALLS = 4096
BOARD_BYTES = 8 * (WORDS + TIMED_CALLS)
NEVER = 1 << 62


def begin(board: Board, batch_id: int) -> None:
    """The worker begins with a batch."""
    board[TIMED] = board[POSITION] = 0
    board[BATCH] = batch_id


def position_of(board: Sequence[int]) -> int:
    """The call under way: its position in its batch."""
    timed = board[TIMED]
    if not timed:
        return board[POSITION]
    ended = count_times(board[WORDS : WORDS + timed])
    return board[POSITION] + min(ended, timed - 1)


def count_times(times: Sequence[int], least: int = 0) -> int:
    """How many of these places have a time; those from the first that is 0 on have none.

    Args:
        times: one place a call.
        least: so many have one for certain; that little more have is found out soonest.
    """
    most, step = least, 1
    while most < len(times) and times[most]:
        least, most, step = most + 1, most + step, 2 * step
    return bisect_left(times, True, least, min(most, len(times)), key=not_)


def culprit(board: Sequence[int], batch: Batch) -> int | None:
    """The call of a batch that a worker was at when it died.

    Returns:
        Its position; -1: none of them; None: any of them may be to blame.
    """
    step_batch = board[STEP_BATCH]
    if batch.is_concurrent:
        if step_batch == batch.id:
            return board[STEP_POSITION]
        return -1 if step_batch else None
    return position_of(board) if board[BATCH] == batch.id and not step_batch else -1


@types.coroutine
def noted(
    coroutine: Coroutine[Any, Any, Any], board: Board, batch_id: int, position: int
) -> Generator[Any, Any, Any]:
    """Run a coroutine, and have the board say so whenever it makes a step."""
    step: Any = coroutine.send
    argument: Any = None
    while True:
        board[STEP_POSITION], board[STEP_BATCH] = position, batch_id
        try:
            awaited = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            board[STEP_BATCH] = 0
        try:
            argument = yield awaited
            step = coroutine.send
        except BaseException as error:
            step, argument = coroutine.throw, error
