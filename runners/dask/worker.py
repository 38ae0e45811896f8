"""What runs on a Dask worker: one Dask task carries out one batch.

A batch comes as one bytes object. What it leaves on the worker is one :class:`Kept`: the values,
which other batches take from worker to worker, and the report if that was too large to be sent at
once. Reports and log lines are sent as Dask events under the id of the flow's client, which needs
no question and no answer, and which the scheduler forgets with the client.

Dask runs a batch again when its values are lost and still needed, or its worker was. It then covers
exactly the calls that the first run covered: a run tells the scheduler how far it goes before it
ends, or hands back the rest, and asks there before it begins whether it is the first.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from dataflow.model.batches import Batch, BatchReport, Column, Failure, MapBody
from dataflow.worker.board import BATCH, Board
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import PackedColumn, pack, set_apart
from dataflow.worker.interruptible import Interruptible
from dataflow.worker.outcomes import NotNow
from dataflow.worker.part_reports import part_reporter
from runners.dask.alone import gate
from runners.dask.boards import board_for
from runners.dask.code import code_of, load_error, used
from runners.dask.code_worlds import context_of_world
from runners.dask.inputs import ConstantMissing, ask, load_batch
from runners.dask.kept import Kept, LeftColumn
from runners.dask.logs import BEGUN, LogStream, event_of, introduce, tell
from runners.dask.messages import CodeReference, Message, check_versions
from runners.dask.slots import slot_for_dask
from runners.messages import unloadable_report

EVENT_BYTES = 4_000
INLINE_BYTES = 64_000
SMALL_BYTES = 2_000  # less than to have Dask bring them from worker to worker
_PART_BYTES = 16_000
_CALL_BYTES = 20
PART_SECONDS = 0.5
_UNLIMITED_SECONDS = 1e9


# --- Dask's tasks ---------------------------------------------------------------------------------


def run_batch(data: bytes, kept: Sequence[Kept]) -> Kept:
    """Carry out a batch; ``kept`` is what the batches that it depends on have left."""
    from distributed import get_worker

    worker = get_worker()
    message: Message = pickle.loads(data)
    introduce(worker, message)
    place = (message.topic, message.batch_id)
    body = _running[place] = Interruptible()
    try:
        with used(message.code), gate.passed(message.alone, lambda: body.is_interrupted):
            if message.suspect and message.boards is None:
                _tell_surely(worker, message, BEGUN, worker.address.encode())
            board = board_for(message)
            try:
                return body.run(partial(_carry_out, worker, message, kept, board))
            finally:
                board[BATCH] = 0
    finally:
        _running.pop(place, None)


def _tell_surely(worker: Any, message: Message, kind: str, data: bytes) -> None:
    """Have the flow's process hear something, whatever becomes of this worker then."""
    event = event_of(message, kind, data)
    ask(worker, worker.scheduler.log_event, topic=message.topic, msg=event)


class Interrupted(BaseException):
    """Raised in a batch that was cancelled."""


_running: dict[tuple[str, int], Interruptible] = {}


def interrupt(topic: str, batch_ids: Collection[int]) -> None:
    """End batches that this worker is at (sent to all workers)."""
    for batch_id in batch_ids:
        body = _running.get((topic, batch_id))
        if body is not None:
            body.interrupt(Interrupted())


def report_of(kept: Kept) -> bytes:
    """The report that a batch left because it was too large for an event."""
    assert kept.report is not None
    return kept.report


def part_of(
    kept: Kept, start: int, stop: int, missing: Collection[int], code: CodeReference | None
) -> PackedColumn:
    """Some values out of many."""
    from distributed import get_worker

    column = kept.open(missing)
    if isinstance(column, PackedColumn) and column.exact:
        return PackedColumn(column.parts[start:stop], stop - start, exact=True)
    with used(code), code_of(get_worker(), code):
        return pack([column.load(position) for position in range(start, stop)], exact=False)


def hold(data: bytes) -> bytes:
    """Keep a constant on some worker, from where the others fetch it."""
    return data


# --- carrying out ---------------------------------------------------------------------------------


def _carry_out(worker: Any, message: Message, kept: Sequence[Kept], board: Board) -> Kept:
    with ExitStack() as stack:
        try:
            check_versions(message)
            world = stack.enter_context(code_of(worker, message.code))
            batch = load_batch(worker, message, kept, world)
            first = _repeat_first_run(worker, message, batch) if message.may_stop else None
        except ConstantMissing:
            raise
        except Exception as error:
            problem = load_error(worker, error)
            report = unloadable_report(message.batch_id, message.calls, problem)
            return _deliver(worker, message, report)
        return _carry_out_loaded(worker, message, batch, board, first)


def _carry_out_loaded(
    worker: Any, message: Message, batch: Batch, board: Board, first: int | None
) -> Kept:
    packer = _Packer(message.stays)
    logs = LogStream(partial(tell, worker, message))
    carrier = carrier_of(batch, packer.pack, logs.add, board)
    if first is None:
        seconds = max(PART_SECONDS, batch.part_seconds)
        tell_part = partial(_tell_part, worker, message)
        carrier.report_early(tell_part, packer.part)
        part_reporter.ask(carrier, tell_part, packer.part, seconds)
    else:
        carrier.mark_told(range(first))
    try:
        with logs:
            report = _carried_out(worker, carrier)
    finally:
        if first is None:
            part_reporter.forget(carrier)
    report.logs = [*logs.left(), *report.logs]
    if message.may_stop and packer.column is not None:
        _note_reached(worker, message, [report.first, report.stop])
    failed = _failed(carrier, report)
    if isinstance(report.values, LeftColumn):
        report.values.missing = frozenset(failed)
    return _deliver(worker, message, report, packer.column, failed)


def _carried_out(worker: Any, carrier: BatchCarrier) -> BatchReport:
    """Carry out a batch; ``async`` ones leave Dask's thread to others, and its slot as well."""
    if not carrier.batch.is_concurrent:
        with slot_for_dask(worker):
            return carrier.carry_out()
    from distributed import secede

    from dataflow.worker.async_calls import AsyncBatchCarrier
    from dataflow.worker.async_thread import async_thread

    assert isinstance(carrier, AsyncBatchCarrier)
    secede()  # type: ignore[no-untyped-call]
    return async_thread().carry_out(carrier, context_of_world())


def _tell_part(worker: Any, message: Message, report: BatchReport) -> None:
    if report.reaches is not None:  # what is behind that goes elsewhere, and is not made again here
        try:
            _note_reached(worker, message, [0, report.reaches])
        except Exception:  # then it stays here until the batch has ended
            report.reaches = None
    say = _tell_surely if message.suspect else tell
    say(worker, message, "part", pickle.dumps(report, 5))


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
        if column.nbytes <= (SMALL_BYTES if self.stays else INLINE_BYTES):
            return column
        self.column = set_apart(column, values)
        return LeftColumn(self.column)

    def part(self, values: list[Any], exact: bool) -> Column:
        """The column of a part of a report: in the report, or not now."""
        column = pack(values, exact)
        if column.nbytes + _CALL_BYTES * len(values) > _PART_BYTES:
            raise NotNow
        return column


def _failed(carrier: BatchCarrier, report: BatchReport) -> dict[int, Failure]:
    """The failures by position in the column of values, which may have fewer than all calls."""
    if not report.failures:
        return {}
    positions = chain.from_iterable(carrier.kept_positions(report.first, report.stop))
    return {
        at: report.failures[position]
        for at, position in enumerate(positions)
        if position in report.failures
    }


# --- the same range again -------------------------------------------------------------------------


def _place(message: Message) -> list[str]:
    return ["dataflow", message.topic, str(message.batch_id)]


def _repeat_first_run(worker: Any, message: Message, batch: Batch) -> int | None:
    """If this batch ran before, let it stop where it did then, and nowhere else.

    Returns:
        The first call that its last report tells of, as it did then; None: it did not run before.
    """
    found = ask(worker, worker.scheduler.get_metadata, keys=_place(message), default=None)
    if found is None:
        return None
    first, reached = found
    batch.budget_seconds = _UNLIMITED_SECONDS
    body = batch.body
    if isinstance(body, MapBody):
        elements = -(-reached // len(body.stages))
        batch.body = replace(body, indices=body.indices[:elements])
        return int(first)
    batch.body = replace(
        body,
        tasks=body.tasks[:reached],
        nodes=body.nodes[:reached],
        numbers=body.numbers[:reached],
        arguments=body.arguments[:reached],
        links=body.links[:reached],
    )
    return int(first)


def _note_reached(worker: Any, message: Message, reached: list[int]) -> None:
    ask(worker, worker.scheduler.set_metadata, keys=_place(message), value=reached)
