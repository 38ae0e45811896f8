"""What a batch needs on a Dask worker: its tasks, constants, and values that other batches left."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Sequence
from typing import Any

from dataflow.model.batches import Batch, Column
from dataflow.worker.columns import PackedColumn
from runners.dask_kept import Kept
from runners.dask_messages import FromBatch, FromConstant, Message

_FETCH_SECONDS = 5.0
_ASK_SECONDS = 60.0
_MOST_CONSTANTS = 16
_MOST_TASKS = 1000

_tasks: dict[bytes, Any] = {}
_constants: dict[Any, Column] = {}
_constants_lock = threading.Lock()


class ConstantMissing(Exception):
    """A constant is on no worker any more."""


class _SharedColumn:
    """A constant: loaded once in a process, and the same objects for every batch."""

    def __init__(self, values: list[Any], nbytes: int) -> None:
        self.values = values
        self.nbytes = nbytes
        self.count = len(values)

    def load(self, position: int) -> Any:
        return self.values[position]

    def load_all(self) -> list[Any]:
        return self.values


def load_batch(worker: Any, message: Message, kept: Sequence[Kept]) -> Batch:
    """The batch of a message, with its tasks and its input columns in place."""
    tasks = {digest: _task(worker, digest, data) for digest, data in message.payloads.items()}
    batch: Batch = pickle.loads(message.data)
    batch.tasks = [tasks[digest] for digest in message.digests]
    batch.inputs = [_input(worker, column, kept) for column in batch.inputs]
    return batch


def _task(worker: Any, digest: bytes, payload: bytes | FromConstant) -> Any:
    task = _tasks.get(digest)
    if task is None:
        data = _fetch(worker, payload.key) if isinstance(payload, FromConstant) else payload
        if len(_tasks) >= _MOST_TASKS:
            _tasks.clear()
        task = _tasks[digest] = pickle.loads(data)
    return task


def _input(worker: Any, column: Any, kept: Sequence[Kept]) -> Column:
    if isinstance(column, FromBatch):
        return kept[column.number].open()
    if isinstance(column, FromConstant):
        return _constant(worker, column.key)
    found: Column = column
    return found


def _constant(worker: Any, key: Any) -> Column:
    with _constants_lock:
        column: Column | None = _constants.pop(key, None)
        if column is None:
            loaded: PackedColumn = pickle.loads(_fetch(worker, key))
            column = loaded
            if loaded.shared:
                column = _SharedColumn(loaded.load_all(), loaded.nbytes)
        _constants[key] = column
        while len(_constants) > _MOST_CONSTANTS:
            del _constants[next(iter(_constants))]
        return column


def _fetch(worker: Any, key: Any) -> bytes:
    """A constant, from whichever worker has it."""
    deadline = time.monotonic() + _FETCH_SECONDS
    while True:
        answer = ask(worker, worker.scheduler.gather, keys=[key])
        if answer["status"] == "OK":
            data: bytes = answer["data"][key]
            return data
        if time.monotonic() > deadline:
            raise ConstantMissing(key)
        time.sleep(0.05)


def ask(worker: Any, question: Any, **arguments: Any) -> Any:
    """Ask the scheduler something from the thread of a batch."""
    from distributed.utils import sync

    return sync(worker.loop, question, callback_timeout=_ASK_SECONDS, **arguments)
