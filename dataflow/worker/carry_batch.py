"""The door to a batch for runners: whatever its tasks are, it is carried out and reported."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence

from dataflow.model.batches import Batch, BatchReport, LogLine
from dataflow.worker.call_context import current_scope, occupies_slot
from dataflow.worker.carry_out import BatchCarrier, Pack
from dataflow.worker.columns import ObjectColumn


def carrier_of(
    batch: Batch,
    pack: Pack,
    log_line: Callable[[LogLine], None] | None = None,
    board: MutableSequence[int] | None = None,
) -> BatchCarrier:
    """What carries out a batch (see :class:`BatchCarrier` for the arguments)."""
    if not any(task.kind.startswith("async") for task in batch.tasks):
        return BatchCarrier(batch, pack, log_line, board)
    from dataflow.worker.async_calls import AsyncBatchCarrier

    return AsyncBatchCarrier(batch, pack, log_line, board)


def carry_out_in_process(batch: Batch, logged: Callable[[int, list[LogLine]], None]) -> BatchReport:
    """Carry out a batch in the flow's own process: values stay the objects that they are."""
    carrier = carrier_of(
        batch, lambda values, exact: ObjectColumn(values), lambda line: logged(batch.id, [line])
    )
    token = occupies_slot.set(True)
    scope = current_scope.set(None)  # the thread may be in a body of another run, which waits
    try:
        return carrier.carry_out()
    finally:
        current_scope.reset(scope)
        occupies_slot.reset(token)


def failed_report(batch: Batch, error: Exception) -> BatchReport:
    """The report of a batch that could not even be sent: every call fails with the same error."""
    carrier = BatchCarrier(batch, lambda values, exact: ObjectColumn(values))
    carrier.fail_rest(0, error)
    return carrier.report(None)
