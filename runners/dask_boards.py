"""Boards: files in which workers on this machine write down what they are at, for when they die.

A board is three integers: the deadline of the call under way, its position, and the batch.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import threading
from collections.abc import MutableSequence
from pathlib import Path
from typing import Any

from dataflow.model.batches import Batch
from runners.dask_messages import Message

_BOARD_BYTES = 24


_boards = threading.local()


def board_for(message: Message) -> MutableSequence[int]:
    """Deadline, position and batch of the call under way, where the flow's machine can see it."""
    if message.boards is None:
        return [0, 0, 0]
    board: Any = getattr(_boards, "board", None)
    if board is None or _boards.folder != message.boards:
        board = _boards.board = _open_board(message.boards)
        _boards.folder = message.boards
    board[1] = 0
    board[2] = message.batch_id
    found: MutableSequence[int] = board
    return found


def _open_board(folder: str) -> Any:
    path = f"{folder}/{os.getpid()}-{threading.get_ident()}"
    with open(path, "w+b") as file:  # noqa: PTH123 - once a thread
        file.truncate(_BOARD_BYTES)
        return memoryview(mmap.mmap(file.fileno(), _BOARD_BYTES)).cast("q")


def find_position(folder: str, batch: Batch) -> int | None:
    """The call of a lost batch that its worker was at; -1: it had not begun; None: not known."""
    for path in Path(folder).iterdir():
        with contextlib.suppress(OSError):
            board = memoryview(path.read_bytes()[:_BOARD_BYTES]).cast("q")
            if board[2] == batch.id:
                path.unlink()
                return None if batch.is_concurrent else board[1]
    return -1


def kill_workers(folder: str, batch_ids: set[int]) -> None:
    """End the worker processes that are at these batches; their nannies start new ones."""
    for path in Path(folder).iterdir():
        with contextlib.suppress(OSError):
            board = memoryview(path.read_bytes()[:_BOARD_BYTES]).cast("q")
            if board[2] in batch_ids:
                path.unlink()
                os.kill(int(path.name.partition("-")[0]), signal.SIGKILL)
