"""How batches are put into messages for workers in other processes, and what goes wrong there."""

from __future__ import annotations

import pickle
from hashlib import blake2b

from dataflow.clock import ticks_ns
from dataflow.errors import InfrastructureError, TransferError
from dataflow.model.batches import Batch, BatchReport, CallBody, RunInfo, TaskLike
from dataflow.worker import pickling
from dataflow.worker.outcomes import failed_report


def dump_task(task: TaskLike) -> tuple[bytes, bytes]:
    """A task as bytes, and the digest that workers keep it by.

    Raises:
        TransferError: something that its function uses cannot be pickled.
    """
    try:
        payload = pickling.dumps(task)
    except Exception as error:
        raise pickling.transfer_error(
            task.fn,
            f"The function of task {task.name!r}",
            error,
            "Make what it uses inside the function, or use task_runner='threads'.",
        ) from error
    return blake2b(payload, digest_size=16).digest(), payload


def dump_batch(batch: Batch, tasks: list[TaskLike]) -> bytes:
    """A batch as bytes (its ``tasks`` go separately).

    Raises:
        TransferError: an argument cannot be pickled.
    """
    try:
        return pickling.dumps(batch)
    except Exception as error:
        names = ", ".join(task.name for task in tasks)
        raise pickling.transfer_error(
            (batch.body, batch.run.parameters),
            f"The arguments of task {names!r}",
            error,
            "Make it inside the task, or use task_runner='threads'.",
        ) from error


def load_report(data: bytes) -> BatchReport:
    """A report from bytes; how long that took becomes a part of it."""
    begun = ticks_ns()
    report: BatchReport = pickle.loads(data)
    report.packing_ns += ticks_ns() - begun
    return report


def unloadable_report(batch_id: int, count: int, error: Exception) -> BatchReport:
    """The report of a batch that could not be loaded: each of its calls fails with the reason."""
    calls = CallBody([0] * count, [0] * count, [0] * count, [((), {})] * count, [None] * count)
    batch = Batch(id=batch_id, run=RunInfo("", "", ""), tasks=[], body=calls)
    return failed_report(batch, _load_error(error))


def _load_error(error: Exception) -> Exception:
    if isinstance(error, (InfrastructureError, TransferError)):
        return error
    found = TransferError(
        f"A batch could not be loaded in the worker: {type(error).__name__}: {error}",
        hint="Is the module that it needs importable there?",
    )
    found.__cause__ = error
    return found
