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
_HARDLY_MORE = 2
"""A batch of so many times what is worthwhile is not cut in two."""
BATCH_BYTES = 64_000_000
"""Of values: a worker holds all of a batch until its report is made."""
SMALL_VALUE_BYTES = 10_000
"""A value up to this size may come with the report of its batch, whoever needs it."""
FEW_SLOTS = 64
"""Up to so many, one process keeps up with whatever batches they get."""
FEW_SECONDS = 2.0
"""How long a batch of short elements takes at most as long as one process keeps up."""
CLUSTER_BATCH_SECONDS = 400e-6
"""Of the flow's process: what a batch that goes over Dask costs it, all in all."""
CLUSTER_BATCHES_A_SECOND = 400
"""That it should send: a tenth of what it could, and two messages of the scheduler for each."""
CLUSTER_PARTS_A_SECOND = 200
"""Parts of reports that it should be sent."""
MAX_CONCURRENT_CALLS = 1000
MAX_CONCURRENT_BATCH = 250


@dataclass(frozen=True, slots=True)
class RunnerCosts:
    """What a runner needs for a batch, whatever is in it.

    Attributes:
        dispatch_seconds: from handing a batch over until its report is back, work excluded.
        target_seconds: how long a batch of short elements should take.
        least_seconds: how long it should take at least, if there is so much.
        part_seconds: how long a part of its report waits for the next, at least.
        of_large: what a batch costs whose values are large, or were never seen; None: the same.
    """

    dispatch_seconds: float
    target_seconds: float
    of_large: RunnerCosts | None = None
    least_seconds: float = 0.0
    part_seconds: float = 0.0

    def for_value(self, nbytes: float | None) -> RunnerCosts:
        """The costs of a batch with values of so many bytes each; None: they were never seen."""
        if self.of_large is None or (nbytes is not None and nbytes <= SMALL_VALUE_BYTES):
            return self
        return self.of_large


def cluster_costs(dispatch_seconds: float, slots: int) -> RunnerCosts:
    """The costs of a batch on a cluster, whose threads all wait for one flow's process.

    With few threads, long batches only make others wait; with many, short ones: the process that
    hands them out is then slower than the threads that carry them out. So the target grows with the
    threads, and so does the least: the time in which each of them can be given a batch.

    Args:
        dispatch_seconds: from handing a batch over until its report is back, work excluded.
        slots: batches that run at once.
    """
    target_seconds = min(max(2 * slots * dispatch_seconds, 0.1), FEW_SECONDS)
    if slots <= FEW_SLOTS:
        return RunnerCosts(dispatch_seconds, target_seconds)
    return RunnerCosts(
        dispatch_seconds,
        max(target_seconds, slots / CLUSTER_BATCHES_A_SECOND),
        least_seconds=slots * CLUSTER_BATCH_SECONDS,
        part_seconds=slots / CLUSTER_PARTS_A_SECOND,
    )


def batch_size(
    left: int,
    slots: int,
    mean_seconds: float | None,
    costs: RunnerCosts,
    busy: int = 0,
    under_way: int = 0,
) -> int:
    """How many of ``left`` elements the next batch takes: at least 1, at most ``left``.

    Args:
        left: elements that can begin now, at least 1.
        slots: batches that run at once.
        mean_seconds: how long an element takes; None while none has been measured.
        costs: the runner's costs.
        busy: batches that the slots have; beyond one for each, another waits there.
        under_way: elements that have been sent and not come back.
    """
    share = max(left // (2 * slots), 1)
    if mean_seconds is None:
        return min(share, PROBE_ELEMENTS)
    mean = max(mean_seconds, 1e-8)
    if costs.least_seconds:
        return _size_for_many(left, slots, mean, costs, busy, under_way)
    worthwhile = WORTHWHILE_DISPATCHES * costs.dispatch_seconds
    equal = -(-left // (slots - busy % slots))
    if equal * mean <= _HARDLY_MORE * worthwhile:  # 8 and 8 of 16, and not 5, 5, 3, 3
        least = equal
    else:
        least = math.ceil(worthwhile / mean)
    most = max(int(costs.target_seconds / mean), 1)
    return min(max(share, least), most, left)


def _size_for_many(
    left: int, slots: int, mean: float, costs: RunnerCosts, busy: int, under_way: int
) -> int:
    """The same where one process hardly keeps up: batches must not end all at the same time.

    So the fewer slots are busy, the shorter a batch: those of slots that were free together end one
    after the other, and so do all after them, as each takes half of what is left for its slot. What
    is left for it is known from what is under way, of which half is done on average; where that is
    little, it is one batch. Where all are busy, a batch waits, and had better not be tiny.
    """
    most = costs.target_seconds / mean
    least = max(WORTHWHILE_DISPATCHES * costs.dispatch_seconds, costs.least_seconds) / mean
    free = slots - busy if busy < slots else slots
    if free == slots and under_way:
        size = max(left / (2 * slots), least / 2)
    else:
        size = (left + under_way / 2) / slots
        if size > _HARDLY_MORE * least:
            size = max(min(size / 2, most) * (1 - free / (2 * slots)), least)
        size = min(size, left / free)
    whole = math.ceil(size) if least >= 1 else int(size)  # up, where a batch costs more than one
    return max(min(whole, int(most), left), 1)


def first_batch_size(mean_seconds: float | None) -> int:
    """How many elements the first batch of a map takes at most: someone may wait for a result."""
    return PROBE_ELEMENTS if mean_seconds is None else max(int(FIRST_SECONDS / mean_seconds), 1)


def free_calls(event_loops: int, under_way: int) -> int:
    """How many more concurrent calls may be under way."""
    return MAX_CONCURRENT_CALLS * event_loops - under_way


def concurrent_batch_size(left: int, slots: int, free: int) -> int:
    """How many ``async`` elements the next batch takes.

    Args:
        left: elements that can begin now, at least 1.
        slots: event loops that they are shared out to.
        free: how many more calls may be under way, at least 1.
    """
    return min(-(-left // slots), MAX_CONCURRENT_BATCH, free)


def budget_seconds(seconds: float | None, costs: RunnerCosts, busy: float = 1.0) -> float:
    """After how long a batch stops taking new elements.

    Args:
        seconds: how long it should take; None: unknown.
        costs: the runner's costs.
        busy: which part of the slots have something to do. First batches end one after the other.
    """
    if seconds is None:
        return max(PROBE_SECONDS, busy * costs.least_seconds)
    return 1.5 * max(_short_seconds(costs), seconds)


def early_seconds(costs: RunnerCosts) -> float:
    """How often a batch tells what has ended, while calls outside it wait for that.

    A slot that has nothing to do meanwhile costs more than the tenth of a batch that this costs.
    """
    return WORTHWHILE_DISPATCHES * costs.dispatch_seconds


def is_short(seconds: float | None, costs: RunnerCosts) -> bool:
    """Whether a worker should be given another batch before it is done with one of ``seconds``."""
    return seconds is not None and seconds <= 1.5 * _short_seconds(costs)


def _short_seconds(costs: RunnerCosts) -> float:
    """How long a batch takes behind which another may wait."""
    return min(costs.target_seconds, max(FEW_SECONDS, costs.least_seconds))
