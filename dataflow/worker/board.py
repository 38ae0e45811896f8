"""A worker's board: what it is at, for whoever has to find out why it died.

A few integers in memory that outlives the process. The call under way is written down before it
begins; of concurrent calls, the one whose step the event loop is making.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator, MutableSequence, Sequence
from typing import Any

from dataflow.model.batches import Batch

Board = MutableSequence[int]
DEADLINE, POSITION, BATCH, STEP_POSITION, STEP_BATCH = range(5)
BOARD_BYTES = 5 * 8
NEVER = 1 << 62


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
    return board[POSITION] if board[BATCH] == batch.id and not step_batch else -1


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
