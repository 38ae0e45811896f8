"""The boards of workers on this machine: what each of their threads was at when it died."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from dataflow.model.batches import Batch
from runners.dask_worker import BOARD_BYTES


def find_position(folder: str, batch: Batch) -> int | None:
    """The call of a lost batch that its worker was at; -1: it had not begun; None: not known."""
    for path in Path(folder).iterdir():
        with contextlib.suppress(OSError):
            board = memoryview(path.read_bytes()[:BOARD_BYTES]).cast("q")
            if board[2] == batch.id:
                path.unlink()
                return None if _is_concurrent(batch) else board[1]
    return -1


def kill_workers(folder: str, batch_ids: set[int]) -> None:
    """End the worker processes that are at these batches; their nannies start new ones."""
    for path in Path(folder).iterdir():
        with contextlib.suppress(OSError):
            board = memoryview(path.read_bytes()[:BOARD_BYTES]).cast("q")
            if board[2] in batch_ids:
                path.unlink()
                os.kill(int(path.name.partition("-")[0]), signal.SIGKILL)


def _is_concurrent(batch: Batch) -> bool:
    return batch.body.calls > 1 and any(task.kind.startswith("async") for task in batch.tasks)
