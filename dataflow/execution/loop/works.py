"""What can begin on a runner, and how much of it goes into the next batch.

Single calls of like tasks wait together; each map, with the maps fused onto it, is a work of its
own.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.planner.batch_sizes import (
    BATCH_BYTES,
    RunnerCosts,
    batch_size,
    concurrent_batch_size,
    first_batch_size,
    free_calls,
)
from dataflow.planner.calls import CallPicker
from dataflow.planner.cost_book import CostBook


class CallWork:
    """Single calls that can begin and may share a batch."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.is_concurrent = task.kind.startswith("async")
        self.nodes: deque[TaskNode] = deque()
        self.in_flight = 0  # batches
        self.under_way = 0  # elements in them

    @property
    def ready(self) -> bool:
        """Whether anything can begin."""
        return bool(self.nodes)

    @property
    def order(self) -> tuple[int, int]:
        """What has the longest path behind it comes first, then what was traced later."""
        head = self.nodes[0]
        return -head.height, -head.id

    def take(self, slots: int, busy: int, costs: RunnerCosts, book: CostBook) -> CallPicker:
        """The calls of the next batch."""
        name = self.nodes[0].task.name
        picker = CallPicker(costs, book, self.is_concurrent)
        mean, nbytes = book.seconds(name), book.bytes(name)
        picker.pick(self.nodes, _size(self, len(self.nodes), slots, busy, mean, nbytes, costs))
        return picker


class Range(NamedTuple):
    """Elements that can begin; ``alone``: in batches of their own, as one may end its worker."""

    start: int
    stop: int
    alone: bool = False


class MapWork:
    """A map and the maps fused onto it: ranges of elements that can begin."""

    def __init__(self, stages: list[MapNode]) -> None:
        self.stages = stages
        self.task = stages[0].task
        self.is_concurrent = self.task.kind.startswith("async")
        self.ranges: deque[Range] = deque()
        self.has_begun = False
        self.has_cancelled = False  # some elements will not run
        self.in_flight = 0  # batches
        self.under_way = 0  # elements in them
        for stage in stages:
            stage.work = self

    @property
    def ready(self) -> bool:
        """Whether anything can begin."""
        return bool(self.ranges)

    @property
    def order(self) -> tuple[int, int]:
        """What has the longest path behind it comes first, then what was traced later."""
        return -self.stages[0].height, -self.stages[0].id

    @property
    def left(self) -> int:
        """Elements that can begin now."""
        return sum(each.stop - each.start for each in self.ranges)

    def mean_seconds(self, book: CostBook) -> float | None:
        """What an element costs through all stages; None while that is unknown."""
        total = 0.0
        for stage in self.stages:
            seconds = book.seconds(stage.task.name)
            if seconds is None:
                return None
            total += seconds
        return total

    def take(
        self, slots: int, busy: int, costs: RunnerCosts, book: CostBook
    ) -> tuple[Sequence[int], float | None]:
        """The elements of the next batch, and the mean seconds of an element."""
        mean = self.mean_seconds(book)
        nbytes = sum(book.bytes(stage.task.name) for stage in self.stages)
        size = _size(self, self.left, slots, busy, mean, nbytes, costs)
        if not self.has_begun and not self.is_concurrent:
            size = min(size, first_batch_size(mean))
        self.has_begun = True
        return self._take(size), mean

    def _take(self, size: int) -> Sequence[int]:
        """The first so many elements that can begin; no others with those that are alone."""
        taken: list[range] = []
        while size and self.ranges and not (taken and self.ranges[0].alone):
            start, stop, alone = self.ranges.popleft()
            if stop - start > size:
                self.ranges.appendleft(Range(start + size, stop, alone))
                stop = start + size
            taken.append(range(start, stop))
            size = 0 if alone else size - (stop - start)
        if len(taken) == 1:
            return taken[0]
        elements = sorted(itertools.chain.from_iterable(taken))
        in_a_row = elements[-1] - elements[0] + 1 == len(elements)
        return range(elements[0], elements[-1] + 1) if in_a_row else elements


Work = CallWork | MapWork


def _size(
    work: Work,
    left: int,
    slots: int,
    busy: int,
    mean: float | None,
    nbytes: float,
    costs: RunnerCosts,
) -> int:
    """How many of ``left`` elements (or calls) go into the next batch of a work.

    ``nbytes`` are those of the values of one of them.
    """
    if work.is_concurrent and work.task.resources:
        size = 1  # a batch takes from its worker what one call needs
    elif work.is_concurrent:
        size = concurrent_batch_size(left, slots, free_calls(slots, busy))
    else:
        size = batch_size(left, slots, mean, costs, busy, work.under_way)
    size = min(size, max(int(BATCH_BYTES / max(nbytes, 1)), 1))
    return min(size, work.task.batch_size or size)
