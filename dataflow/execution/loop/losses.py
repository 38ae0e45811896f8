"""What becomes of a batch whose worker was lost: what runs again, and who is to blame.

A call that a worker died at is tried again, alone at last, and is Crashed when it has killed too
often. Where nobody knows which call it was, the batch is halved until it shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dataflow.errors import CrashedRun
from dataflow.execution.loop.queues import Flight
from dataflow.graph.nodes import ENDED_CODES, MapNode, TaskNode
from dataflow.model.batches import MAX_LOSSES, Failure
from dataflow.model.states import StateCode
from dataflow.planner.bodies import runs_of
from dataflow.worker.failures import describe
from dataflow.worker.timeouts import timed_out

Range = tuple[int, int]


class Verdict(NamedTuple):
    """How a call ends whose worker died at it; ``delay``: seconds until it is tried again."""

    code: int
    failure: Failure
    delay: float | None = None


def verdict_on(task: Any, attempt: int, losses: int, cause: str, time_up: bool) -> Verdict | None:
    """What becomes of a call whose worker died at it; None: it runs again.

    Args:
        task: its task.
        attempt: the attempt that was under way.
        losses: how many workers have died at it.
        cause: why the worker died.
        time_up: whether the runner ended the worker, because the call's time was up.
    """
    if time_up:
        failure = describe(timed_out(f"A run of task {task.name!r}", task.timeout_seconds))
        again = attempt <= task.retry_policy.retries
        delay = task.retry_policy.delay_before(attempt) if again else None
        return Verdict(int(StateCode.TIMED_OUT), failure, delay)
    if losses < MAX_LOSSES:
        return None
    error = CrashedRun(
        f"Its worker died {losses} times while it ran task {task.name!r} ({cause}).",
        hint="Look for os._exit, a crash in C code, or memory that runs out.",
    )
    return Verdict(int(StateCode.CRASHED), describe(error))


def lost_calls(flight: Flight, position: int | None) -> tuple[list[TaskNode], TaskNode | None]:
    """The calls that have not ended, and the one of them that is to blame, if that is known.

    Args:
        flight: the batch, of single calls.
        position: the call that its worker was at; None: nobody knows; -1: none of them.
    """
    told = flight.ended  # among them some that await their retries
    left = [
        at
        for at, node in enumerate(flight.calls)
        if at not in told and node.code not in ENDED_CODES
    ]
    if position is None and len(left) == 1:
        position = left[0]
    culprit = flight.calls[position] if position in left else None
    return [flight.calls[at] for at in left], culprit


@dataclass(slots=True)
class LostElements:
    """Ranges of elements that run again, at once and when others have had their turn.

    ``is_unknown``: any of the first may be to blame, so they are not put together with others.
    ``culprit`` is the stage and the element that is to blame, which is in neither.
    """

    first: list[Range] = field(default_factory=list)
    later: list[Range] = field(default_factory=list)
    culprit: tuple[MapNode, int] | None = None
    is_unknown: bool = False


def lost_elements(flight: Flight, position: int | None) -> LostElements:
    """What becomes of the elements of a batch.

    Args:
        flight: the batch, of a map (or of fused ones).
        position: as for :func:`lost_calls`.
    """
    stages = flight.stages or []
    left = _untold_ranges(flight)
    if position is None and sum(stop - start for start, stop in left) == 1:
        position = list(flight.elements).index(left[0][0]) * len(stages)
    if position is None:  # any of them may be to blame
        halves = [half for found in left for half in _halves(*found)]
        return LostElements(halves, is_unknown=True)
    if position < 0:
        return LostElements(left)
    element = flight.elements[position // len(stages)]
    return LostElements(
        [(start, min(stop, element)) for start, stop in left if start < element],
        [(max(start, element + 1), stop) for start, stop in left if stop > element + 1],
        (stages[position % len(stages)], element),
    )


def _halves(start: int, stop: int) -> list[Range]:
    middle = (start + stop) // 2
    return [half for half in ((start, middle), (middle, stop)) if half[0] < half[1]]


def _untold_ranges(flight: Flight) -> list[Range]:
    """The elements of a batch that no part of its report told of, or not of all their stages."""
    left: Sequence[int] = flight.elements
    if flight.ended:
        width = len(flight.stages or ())
        told = Counter(position // width for position in flight.ended)
        left = [each for at, each in enumerate(flight.elements) if told[at] < width]
    return [(run.start, run.stop) for run in runs_of(left)] if left else []
