"""What runs on a Dask worker: one Dask task carries out one batch.

A batch comes as one bytes object. What it leaves on the worker is one :class:`Kept`: the values,
which other batches take from worker to worker, and the report if that was too large to be sent at
once. Reports and log lines are sent as Dask events under the id of the flow's client, which needs
no question and no answer, and which the scheduler forgets with the client.

Dask runs a batch again when its values are lost and still needed. It then covers exactly the calls
that the first run covered: a run tells the scheduler how far it went before it ends, and asks there
before it begins whether it is the first.
"""

from __future__ import annotations

import ctypes
import pickle
import threading
from collections.abc import Collection, MutableSequence, Sequence
from dataclasses import replace
from typing import Any

from dataflow.model.batches import Batch, BatchReport, Column, Failure, MapBody
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import PackedColumn, pack
from runners.dask_boards import board_for
from runners.dask_inputs import ConstantMissing, ask, load_batch
from runners.dask_kept import Kept, LeftColumn
from runners.dask_logs import LogStream, tell
from runners.dask_messages import Message, check_versions
from runners.messages import unloadable_report

EVENT_BYTES = 4_000
INLINE_BYTES = 64_000
_EXACT_BYTES = 1_000  # a value
_UNLIMITED_SECONDS = 1e9


# --- Dask's tasks ---------------------------------------------------------------------------------


def run_batch(data: bytes, kept: Sequence[Kept]) -> Kept:
    """Carry out a batch; ``kept`` is what the batches that it depends on have left."""
    from distributed import get_worker

    worker = get_worker()
    message: Message = pickle.loads(data)
    board = board_for(message)
    place = (message.topic, message.batch_id)
    _running[place] = threading.get_ident()
    try:
        return _carry_out(worker, message, kept, board)
    finally:
        _running.pop(place, None)
        board[2] = 0


class Interrupted(BaseException):
    """Raised in a batch that was cancelled, at its next line of Python."""


_running: dict[tuple[str, int], int] = {}


def interrupt(topic: str, batch_ids: Collection[int]) -> None:
    """End batches that this worker is at (sent to all workers)."""
    for batch_id in batch_ids:
        thread = _running.pop((topic, batch_id), None)
        if thread is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(Interrupted)
            )


def report_of(kept: Kept) -> bytes:
    """The report that a batch left because it was too large for an event."""
    assert kept.report is not None
    return kept.report


def part_of(kept: Kept, start: int, stop: int, missing: Collection[int]) -> PackedColumn:
    """Some values out of many."""
    column = kept.open(missing)
    if isinstance(column, PackedColumn) and column.exact:
        return PackedColumn(column.parts[start:stop], stop - start, exact=True)
    return pack([column.load(position) for position in range(start, stop)], exact=False)


def hold(data: bytes) -> bytes:
    """Keep a constant on some worker, from where the others fetch it."""
    return data


def is_held(data: bytes) -> bool:
    """That a constant has been put on some worker."""
    return bool(data)


# --- carrying out ---------------------------------------------------------------------------------


def _carry_out(
    worker: Any, message: Message, kept: Sequence[Kept], board: MutableSequence[int]
) -> Kept:
    try:
        check_versions(message)
        batch = load_batch(worker, message, kept)
        if message.may_stop:
            _repeat_first_run(worker, message, batch)
    except ConstantMissing:
        raise
    except Exception as error:
        return _deliver(worker, message, unloadable_report(message.batch_id, message.calls, error))
    packer = _Packer(message.stays)
    logs = LogStream(worker, message)
    carrier = carrier_of(batch, packer.pack, logs.add, board)
    with logs:
        report = carrier.carry_out()
    report.logs = [*logs.left(), *report.logs]
    if message.may_stop and packer.column is not None:
        _set_reached(worker, message, len(report.states))
    failed = _failed(carrier, report)
    if isinstance(report.values, LeftColumn):
        report.values.missing = frozenset(failed)
    return _deliver(worker, message, report, packer.column, failed)


def _deliver(
    worker: Any,
    message: Message,
    report: BatchReport,
    column: PackedColumn | None = None,
    failed: dict[int, Failure] | None = None,
) -> Kept:
    data = pickle.dumps(report, 5)
    is_small = len(data) <= EVENT_BYTES
    kind = "report" if is_small else "beside" if column is not None else "alone"
    tell(worker, message, kind, data if is_small else b"")
    return Kept(column, None if is_small else data, failed or {})


class _Packer:
    """Makes columns: of small values for the report, of others to stay here."""

    def __init__(self, stays: bool) -> None:
        self.stays = stays
        self.column: PackedColumn | None = None

    def pack(self, values: list[Any], exact: bool) -> Column:
        column = pack(values, exact)
        if not self.stays and column.nbytes <= INLINE_BYTES:
            return column
        if len(values) > 1 and not exact and column.nbytes > _EXACT_BYTES * len(values):
            column = pack(values, exact=True)
        self.column = column
        return LeftColumn(column)


def _failed(carrier: BatchCarrier, report: BatchReport) -> dict[int, Failure]:
    """The failures by position in the column of values, which may have fewer than all calls."""
    if not report.failures:
        return {}
    positions = carrier._kept_positions()
    if positions is None:
        return report.failures
    return {
        at: report.failures[position]
        for at, position in enumerate(positions)
        if position in report.failures
    }


# --- the same range again -------------------------------------------------------------------------


def _place(message: Message) -> list[str]:
    return ["dataflow", message.topic, str(message.batch_id)]


def _repeat_first_run(worker: Any, message: Message, batch: Batch) -> None:
    """If this batch ran before, let it stop where it did then, and nowhere else."""
    reached = ask(worker, worker.scheduler.get_metadata, keys=_place(message), default=None)
    if reached is None:
        return
    batch.budget_seconds = _UNLIMITED_SECONDS
    body = batch.body
    if isinstance(body, MapBody):
        elements = reached // len(body.stages)
        batch.body = replace(body, indices=body.indices[:elements])
        return
    batch.body = replace(
        body,
        tasks=body.tasks[:reached],
        nodes=body.nodes[:reached],
        numbers=body.numbers[:reached],
        arguments=body.arguments[:reached],
        links=body.links[:reached],
    )


def _set_reached(worker: Any, message: Message, reached: int) -> None:
    ask(worker, worker.scheduler.set_metadata, keys=_place(message), value=reached)
