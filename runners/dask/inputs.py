"""What a batch needs on a Dask worker: its tasks, constants, and values that other batches left."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Sequence
from typing import Any

from dataflow.model.batches import Batch, Column
from dataflow.worker.columns import PackedColumn
from runners.dask.code_worlds import AnyWorld
from runners.dask.kept import Kept
from runners.dask.messages import FromBatch, FromConstant, Message

_FETCH_SECONDS = 2.0
_ASK_SECONDS = 60.0
_MOST_CONSTANTS = 16
_MOST_TASKS = 1000

_constants_lock = threading.Lock()


class _Loaded:
    """What was loaded in a world, for the next batch that needs it."""

    def __init__(self) -> None:
        self.tasks_lock = threading.Lock()
        self.tasks: dict[bytes, Any] = {}
        self.constants: dict[Any, Column] = {}


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


def load_batch(worker: Any, message: Message, kept: Sequence[Kept], world: AnyWorld) -> Batch:
    """The batch of a message, with its tasks and its input columns in place."""
    loaded: _Loaded = world.kept.setdefault(__name__, _Loaded())
    tasks = {
        digest: _task(worker, digest, data, loaded) for digest, data in message.payloads.items()
    }
    batch: Batch = pickle.loads(message.data)
    batch.tasks = [tasks[digest] for digest in message.digests]
    batch.inputs = [_input(worker, column, kept, loaded) for column in batch.inputs]
    return batch


def _task(worker: Any, digest: bytes, payload: bytes | FromConstant, loaded: _Loaded) -> Any:
    task = loaded.tasks.get(digest)
    if task is None:
        data = fetch(worker, payload.key) if isinstance(payload, FromConstant) else payload
        with loaded.tasks_lock:  # they import modules, which may need each other
            task = pickle.loads(data)
            if len(loaded.tasks) >= _MOST_TASKS:
                loaded.tasks.clear()
            loaded.tasks[digest] = task
    return task


def _input(worker: Any, column: Any, kept: Sequence[Kept], loaded: _Loaded) -> Column:
    if isinstance(column, FromBatch):
        return kept[column.number].open()
    if isinstance(column, FromConstant):
        return _constant(worker, column.key, loaded.constants)
    found: Column = column
    return found


def _constant(worker: Any, key: Any, constants: dict[Any, Column]) -> Column:
    with _constants_lock:
        column: Column | None = constants.pop(key, None)
        if column is None:
            loaded: PackedColumn = pickle.loads(fetch(worker, key))
            column = loaded
            if loaded.shared:
                column = _SharedColumn(loaded.load_all(), loaded.nbytes)
        constants[key] = column
        while len(constants) > _MOST_CONSTANTS:
            del constants[next(iter(constants))]
        return column


def fetch(worker: Any, key: Any) -> bytes:
    """A constant, from whichever worker has it.

    Raises:
        ConstantMissing: none has it any more.
    """
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
