"""How many elements go into a batch, and how long it may take.

A batch should be long enough that handing it over costs little (ten times the dispatch cost), short
enough that nobody waits for it (the target), and small enough that the rest can still be shared out
evenly (half of an equal share). Estimates fail on uneven work, so each batch also has a hard time
budget, at which it hands back what it has not reached: with durations sorted ascending, estimates
alone end at 11 times the ideal makespan, with the budget at 1.09.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PROBE_ELEMENTS = 64
PROBE_SECONDS = 0.01
FIRST_SECONDS = 0.002
WORTHWHILE_DISPATCHES = 10
_HARDLY_MORE = 1.5
BATCH_BYTES = 64_000_000
"""Of values: a worker holds all of a batch until its report is made."""
SMALL_VALUE_BYTES = 10_000
"""A value up to this size may come with the report of its batch, whoever needs it."""
MAX_CONCURRENT_CALLS = 1000
MAX_CONCURRENT_BATCH = 250


@dataclass(frozen=True, slots=True)
class RunnerCosts:
    """What a runner needs for a batch, whatever is in it.

    Attributes:
        dispatch_seconds: from handing a batch over until its report is back, work excluded.
        target_seconds: how long a batch of short elements should take.
        of_large: what a batch costs whose values are large, or were never seen; None: the same.
    """

    dispatch_seconds: float
    target_seconds: float
    of_large: RunnerCosts | None = None

    def for_value(self, nbytes: float | None) -> RunnerCosts:
        """The costs of a batch with values of so many bytes each; None: they were never seen."""
        if self.of_large is None or (nbytes is not None and nbytes <= SMALL_VALUE_BYTES):
            return self
        return self.of_large


def batch_size(
    left: int, slots: int, mean_seconds: float | None, costs: RunnerCosts, free: int | None = None
) -> int:
    """How many of ``left`` elements the next batch takes: at least 1, at most ``left``.

    Args:
        left: elements that can begin now, at least 1.
        slots: batches that run at once.
        mean_seconds: how long an element takes; None while none has been measured.
        costs: the runner's costs.
        free: slots that have nothing to do, at least 1; None: all of them.
    """
    share = max(left // (2 * slots), 1)
    if mean_seconds is None:
        return min(share, PROBE_ELEMENTS)
    mean = max(mean_seconds, 1e-8)
    dispatch = costs.dispatch_seconds / mean
    least = math.ceil(WORTHWHILE_DISPATCHES * dispatch)
    equal = -(-left // (free or slots))
    if equal <= _HARDLY_MORE * least:  # 8 and 8 of 16, and not 7, 7, 1, 1 or 8, 4, 2, 1, 1
        least = equal
    most = max(int(costs.target_seconds / mean), 1)
    return min(max(share, least), most, left)


def first_batch_size(mean_seconds: float | None) -> int:
    """How many elements the first batch of a map takes at most: someone may wait for a result."""
    return PROBE_ELEMENTS if mean_seconds is None else max(int(FIRST_SECONDS / mean_seconds), 1)


def concurrent_batch_size(left: int, slots: int, free: int) -> int:
    """How many ``async`` elements the next batch takes.

    Args:
        left: elements that can begin now, at least 1.
        slots: event loops that they are shared out to.
        free: how many more calls may be under way, at least 1.
    """
    return min(-(-left // slots), MAX_CONCURRENT_BATCH, free)


def budget_seconds(seconds: float | None, costs: RunnerCosts) -> float:
    """After how long a batch stops taking new elements.

    Args:
        seconds: how long it should take; None: unknown.
        costs: the runner's costs.
    """
    return PROBE_SECONDS if seconds is None else 1.5 * max(costs.target_seconds, seconds)


def is_short(seconds: float | None, costs: RunnerCosts) -> bool:
    """Whether a worker should be given another batch before it is done with one of ``seconds``."""
    return seconds is not None and seconds <= 1.5 * costs.target_seconds
