"""How many workers a cluster should have, and why: a decision without I/O.

Enough that the work which remains takes about the target duration, and never more than it can be
shared out to. While nobody knows how long its elements take, the cluster doubles each time that
what it asked for has come: elements that were short are measured before that, for long ones it is
worth it. Workers that are busy, and as many as the values on them need, are kept; what was wanted a
moment ago is still wanted, so that the size does not swing with the work.

Limits are kept in this order: values that are still needed, ``max_worker_seconds``, ``minimum``,
``maximum``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dataflow.display.quantities import bytes_text, count_text, fine_duration_text
from dataflow.execution.runner_protocol import Remaining

SPENT_TOPIC = "dataflow-spent"
"""The Dask topic on which those who use a cluster hear that it may not go on, and why."""
TARGET_SECONDS = 5.0
MEMORY_SHARE = 0.5
"""Of the workers' memory that values may take: the rest is for what tasks need meanwhile."""
PAID_NOTICES = 10
"""A worker is started if it can be paid for so many times as long as it takes to end it."""
_LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """What a cluster may be.

    Attributes:
        minimum: even if nothing remains; it wins over ``maximum``.
        maximum: may be infinite.
        target_seconds: in which all that remains should be done.
        max_worker_seconds: that its workers may have been there, all together, in its whole life.
        notice_seconds: how long it may take until workers that are to end have ended.
        calm_seconds: for how long fewer workers must be enough before one is retired.
    """

    minimum: int = 0
    maximum: float = math.inf
    target_seconds: float = TARGET_SECONDS
    max_worker_seconds: float = math.inf
    notice_seconds: float = 2.0
    calm_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class ClusterLoad:
    """What a cluster has, and what it is at.

    Attributes:
        workers: that are there.
        threads_per_worker: at least 1; the mean if they differ.
        busy: workers that carry something out.
        holders: workers with values that are still needed.
        held_bytes: of these values.
        memory_bytes: of all workers; 0: no limit is known.
        asked: workers that Dask's own rules ask for, which know of all who use the cluster.
        used_seconds: that workers have been there so far, all together.
        is_spent: whether ``max_worker_seconds`` have been used up before: then they stay so.
    """

    workers: int = 0
    threads_per_worker: float = 1.0
    busy: int = 0
    holders: int = 0
    held_bytes: int = 0
    memory_bytes: int = 0
    asked: int = 0
    used_seconds: float = 0.0
    is_spent: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """How many workers there should be.

    Attributes:
        workers: that many.
        wanted: what it would be without limits, and without what was wanted before.
        reason: why, in a sentence.
        is_spent: whether ``max_worker_seconds`` have been used up.
    """

    workers: int = 0
    wanted: int = 0
    reason: str = "nothing has been decided yet"
    is_spent: bool = False

    def __str__(self) -> str:
        return f"{count_text(self.workers)} worker(s): {self.reason}"


def decide_size(
    remaining: Remaining, load: ClusterLoad, limits: SizeLimits, recent: Sequence[int] = ()
) -> Size:
    """How many workers there should be now.

    Args:
        remaining: of all runs that use the cluster.
        load: what it has and does.
        limits: what it may be.
        recent: what was wanted in the last ``calm_seconds``.
    """
    causes = _causes(remaining, load, limits)
    wanted, why = max(causes, key=lambda cause: cause[0])
    earlier = max(recent, default=0)
    settled = max(wanted, earlier)
    if settled > wanted:
        why += f"; {count_text(settled)} were wanted less than {limits.calm_seconds:g} s ago"
    paid = affordable_workers(load, limits)
    held = min(workers_for_values(load), load.workers)
    workers = max(min(max(min(settled, limits.maximum), limits.minimum), paid), held)
    limit = _limit(settled, int(workers), held, paid, load, limits)
    return Size(int(workers), wanted, f"{_amount(remaining)}: {why}{limit}", paid == 0)


def workers_for_measured(remaining: Remaining, load: ClusterLoad, limits: SizeLimits) -> int:
    """How many workers do what was measured in the target duration; 0 if there is none."""
    if remaining.elements <= 0:
        return 0
    seconds = remaining.seconds / max(limits.target_seconds, _LEAST_SECONDS)
    threads = min(max(seconds, 1.0), remaining.elements)
    return math.ceil(threads / load.threads_per_worker)


def workers_for_unmeasured(remaining: Remaining, load: ClusterLoad) -> int:
    """How many workers what was never measured is worth; 0 if there is none."""
    if remaining.unmeasured <= 0:
        return 0
    return min(max(2 * load.workers, 1), math.ceil(remaining.unmeasured / load.threads_per_worker))


def workers_for_values(load: ClusterLoad) -> int:
    """How many workers the values that are still needed take; 0 if there are none."""
    if load.held_bytes <= 0:
        return 0
    if load.memory_bytes <= 0 or load.workers <= 0:
        return max(load.holders, 1)
    room = MEMORY_SHARE * load.memory_bytes / load.workers
    return max(math.ceil(load.held_bytes / room), 1)


def affordable_workers(load: ClusterLoad, limits: SizeLimits) -> float:
    """How many workers can be paid for; 0: those that are there must end now."""
    left = limits.max_worker_seconds - load.used_seconds
    if load.is_spent or left < max(load.workers, 1) * limits.notice_seconds:
        return 0
    if math.isinf(left):
        return math.inf
    return max(int(left / (PAID_NOTICES * limits.notice_seconds)), load.workers, 1)


# --- the reason -----------------------------------------------------------------------------------


def _causes(remaining: Remaining, load: ClusterLoad, limits: SizeLimits) -> list[tuple[int, str]]:
    """Each thing that workers are wanted for: how many, and why; the first of equals counts."""
    measured = workers_for_measured(remaining, load, limits)
    unmeasured = workers_for_unmeasured(remaining, load)
    by_values = workers_for_values(load)
    memory = f" of {bytes_text(load.memory_bytes)}" if load.memory_bytes else ""
    return [
        (
            measured,
            f"{count_text(measured)} of {load.threads_per_worker:g} thread(s) "
            + (
                f"do that in {limits.target_seconds:g} s"
                if measured < remaining.elements / load.threads_per_worker
                else "have a thread for each"
            )
            if measured
            else "nobody is needed",
        ),
        (
            unmeasured,
            f"{count_text(unmeasured)} until some were measured, twice as many as there are "
            "or a thread for each",
        ),
        (load.busy, f"{count_text(load.busy)} are busy"),
        (
            by_values,
            f"values that are still needed take {bytes_text(load.held_bytes)}{memory}, for which "
            f"{count_text(by_values)} are kept",
        ),
        (load.asked, f"{count_text(load.asked)} are asked for by Dask, for all who use it"),
    ]


def _amount(remaining: Remaining) -> str:
    """What remains, with figures."""
    told = []
    if remaining.elements:
        each = fine_duration_text(remaining.seconds / remaining.elements)
        whole = fine_duration_text(remaining.seconds)
        told.append(
            f"{count_text(remaining.elements)} elements remain, measured at {each} each "
            f"({whole} on one thread)"
        )
    if remaining.unmeasured:
        told.append(f"{count_text(remaining.unmeasured)} elements remain that were never measured")
    return " and ".join(told) or "no work remains"


def _limit(
    settled: int, workers: int, held: int, paid: float, load: ClusterLoad, limits: SizeLimits
) -> str:
    """Which limit binds, if one does."""
    if paid == 0 or workers == paid < settled:
        used = f"{load.used_seconds:,.0f} of max_worker_seconds = {limits.max_worker_seconds:,.0f}"
        kept = f", but for {held} with values that are still needed" if held else ""
        if paid == 0:
            return f"; {used} are used, and what is left pays for nobody: all end{kept}"
        return f"; {used} are used, and what is left pays for {count_text(workers)}"
    if workers == settled:
        return ""
    if workers == held and held > limits.maximum:
        return f"; {held} have values that are still needed, though maximum = {limits.maximum:g}"
    if workers == limits.minimum:
        return f"; minimum = {limits.minimum} is the limit"
    return f"; maximum = {limits.maximum:g} is the limit"
