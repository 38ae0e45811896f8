"""The door to a batch for runners: whatever its tasks are, it is carried out and reported."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context

from dataflow.model.batches import Batch, BatchReport, LogLine
from dataflow.worker.board import Board
from dataflow.worker.call_context import current_scope, occupies_slot
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import as_objects
from dataflow.worker.outcomes import Deliver, Pack
from dataflow.worker.part_reports import part_reporter

Logged = Callable[[int, list[LogLine]], None]


def carrier_of(
    batch: Batch,
    pack: Pack,
    log_line: Callable[[LogLine], None] | None = None,
    board: Board | None = None,
) -> BatchCarrier:
    """What carries out a batch (see :class:`BatchCarrier` for the arguments)."""
    if not batch.is_concurrent:
        return BatchCarrier(batch, pack, log_line, board)
    from dataflow.worker.async_calls import AsyncBatchCarrier

    return AsyncBatchCarrier(batch, pack, log_line, board)


def carry_out_in_process(batch: Batch, reported: Deliver, logged: Logged) -> None:
    """Carry out a batch in the flow's own process: values stay the objects that they are."""
    carrier = _carrier_in_process(batch, logged)
    token = occupies_slot.set(True)
    scope = current_scope.set(None)  # the thread may be in a body of another run, which waits
    part_reporter.ask(carrier, reported)
    try:
        reported(carrier.carry_out())
    finally:
        part_reporter.forget(carrier)
        current_scope.reset(scope)
        occupies_slot.reset(token)


def begin_in_process(batch: Batch, reported: Deliver, logged: Logged) -> Callable[[], object]:
    """The same for a batch of ``async`` tasks, on the event loop of this process.

    Returns:
        What cancels it.
    """
    from dataflow.worker.async_calls import AsyncBatchCarrier
    from dataflow.worker.async_thread import async_thread

    carrier = _carrier_in_process(batch, logged)
    assert isinstance(carrier, AsyncBatchCarrier)

    def done(report: BatchReport) -> None:
        part_reporter.forget(carrier)
        reported(report)

    part_reporter.ask(carrier, reported)
    context = Context()
    context.run(occupies_slot.set, True)
    return async_thread().begin(carrier, done, context)


def _carrier_in_process(batch: Batch, logged: Logged) -> BatchCarrier:
    return carrier_of(batch, as_objects, lambda line: logged(batch.id, [line]))
