"""Which calls have begun: what ``on_running`` hooks are told, each attempt once.

Nobody says so when a call begins; it shows. The first call of a batch begins when the batch is
handed over, and all of a batch of ``async`` calls do. Of the others a report tells when they have
ended, and a part of a report which call its worker is at now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dataflow.execution.announcements import Beginning
from dataflow.execution.loop.queues import Flight
from dataflow.graph.nodes import GOOD_CODES, MapNode, TaskNode
from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode

_NEVER_BEGAN = (int(StateCode.PENDING), int(StateCode.NOT_READY))


def has_hooks(flight: Flight) -> bool:
    """Whether anybody wants to know about the calls of a batch."""
    if flight.has_hooks is None:
        nodes: Iterable[TaskNode | MapNode] = flight.stages or flight.calls
        flight.has_hooks = any(task.has_hooks for task in {node.task for node in nodes})
    return flight.has_hooks


def begun_when_handed_over(flight: Flight) -> list[Beginning]:
    """The calls that begin when a runner has their batch."""
    positions = range(flight.size if flight.is_concurrent else 1)
    return [_beginning(flight, position, {}) for position in positions]


def begun_by(flight: Flight, report: BatchReport) -> list[Beginning]:
    """The calls that had begun when a report was made; it has been taken in before."""
    return [_beginning(flight, at, report.attempts) for at in _positions(flight, report)]


def begun_before_loss(flight: Flight, position: int | None) -> list[Beginning]:
    """The call that a worker was at when it died, if anybody knows."""
    if position is None or not 0 <= position < flight.size:
        return []
    return [_beginning(flight, position, {})]


def _positions(flight: Flight, report: BatchReport) -> Iterator[int]:
    for at, code in enumerate(report.states, report.first):
        if code not in _NEVER_BEGAN and at not in flight.cancelled:
            yield at
    if not report.final and not flight.is_concurrent and _goes_on(flight, report.stop):
        yield report.stop


def _goes_on(flight: Flight, position: int) -> bool:
    """Whether a batch goes on with a call: it has it still, and what the call needs ended well."""
    if position >= flight.size:
        return False
    if flight.stages is None:
        return flight.calls[position].waiting == 0
    element, stage = divmod(position, len(flight.stages))
    before = flight.stages[stage - 1] if stage else None
    return before is None or before.settled[flight.elements[element]] in GOOD_CODES


def _beginning(flight: Flight, position: int, attempts: dict[int, int]) -> Beginning:
    attempt = attempts.get(position, flight.batch.attempts.get(position, 1))
    if flight.stages is None:
        return Beginning(flight.calls[position], None, attempt)
    element, stage = divmod(position, len(flight.stages))
    return Beginning(flight.stages[stage], flight.elements[element], attempt)
