"""Boards of Dask workers: files on this machine, one for each thread of a worker."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataflow.model.batches import Batch
from dataflow.worker.board import (
    BATCH,
    BOARD_BYTES,
    STEP_BATCH,
    STEP_POSITION,
    WORDS,
    Board,
    begin,
    culprit,
)
from runners.dask.messages import Message

_DEAD = ".dead"
_boards = threading.local()


def board_for(message: Message) -> Board:
    """The board of this thread, where the flow's machine can see it."""
    board = board_of_thread(message.boards)
    begin(board, message.batch_id)
    return board


def board_of_thread(folder: str | None) -> Board:
    """The board of this thread, which says of no batch that it is there."""
    if folder is None:
        return [0] * WORDS
    board: Any = getattr(_boards, "board", None)
    if board is None or _boards.folder != folder:
        board = _boards.board = _open_board(folder)
        _boards.folder = folder
    found: Board = board
    return found


def _open_board(folder: str) -> Any:
    path = f"{folder}/{os.getpid()}-{threading.get_ident()}"
    with open(path, "w+b") as file:  # noqa: PTH123 - once a thread
        file.truncate(BOARD_BYTES)
        return memoryview(mmap.mmap(file.fileno(), BOARD_BYTES)).cast("q")


def find_position(folder: str, batch: Batch) -> int | None:
    """The call of a lost batch that its worker was at; -1: none of them; None: not known."""
    for path, board in _read_boards(folder):
        if board[BATCH] == batch.id and path.suffix != _DEAD:
            path.rename(path.with_suffix(_DEAD))  # it will run again elsewhere
            _take_over_step(folder, path, board)
            return culprit(board, batch)
    return -1


def _take_over_step(folder: str, path: Path, board: list[int]) -> None:
    """Note on a board which step the loop was making for a batch of another thread's board."""
    found = step_board(folder, _pid_of(path))
    board[STEP_BATCH], board[STEP_POSITION] = found[STEP_BATCH], found[STEP_POSITION]


def step_board(folder: str, pid: int) -> list[int]:
    """What the event loop of a worker process is at, if it makes a step: a board of only that."""
    board = [0] * WORDS
    for path, found in _read_boards(folder):
        if found[STEP_BATCH] and _pid_of(path) == pid:
            board[STEP_BATCH], board[STEP_POSITION] = found[STEP_BATCH], found[STEP_POSITION]
    return board


def kill_workers(folder: str, batch_ids: set[int]) -> list[int]:
    """End the worker processes that are at these batches, and say which; nannies start new ones."""
    pids = []
    for path, board in _read_boards(folder):
        if board[BATCH] in batch_ids and path.suffix != _DEAD:
            path.unlink()
            pids.append(_pid_of(path))
            kill_process(pids[-1])
    return pids


def kill_process(pid: int) -> None:
    """End a worker's process, whatever it is at."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _pid_of(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _read_boards(folder: str) -> Iterator[tuple[Path, list[int]]]:
    for path in list(Path(folder).iterdir()):
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            if len(data) >= BOARD_BYTES:  # else its worker has only just begun with it
                yield path, memoryview(data[:BOARD_BYTES]).cast("q").tolist()
