"""Which work of one runner is next, and the batch that is made of it.

The works (``works``) take turns: whoever has the fewest batches under way is next, so that a short
branch beside a long map ends as if it were alone; among equals the one with the longest path to the
end, and then later stages before earlier ones, so that values do not pile up.

Batches of ``async`` tasks take no slot, as they run on event loops beside the others: so many of
their calls may be under way at once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataflow.execution.limits.limited_tasks import limited
from dataflow.execution.loop.works import CallWork, MapWork, Range, Work
from dataflow.execution.runner_protocol import ElasticRunner, Runner
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.graph.tags import limits_of
from dataflow.model.batches import MAX_LOSSES, Batch, Body
from dataflow.model.states import StateCode
from dataflow.planner.batch_sizes import (
    RunnerCosts,
    budget_seconds,
    early_seconds,
    free_calls,
    is_short,
)
from dataflow.planner.bodies import BodyBuilder, runs_of
from dataflow.planner.cost_book import CostBook
from dataflow.planner.fusion import kept_stages

_BIG_VALUE = 16_000
_CANCELLED = int(StateCode.CANCELLED)
batch_ids = itertools.count(1)


@dataclass(slots=True)
class Flight:
    """A batch that is under way."""

    batch: Batch
    work: Work
    calls: list[TaskNode] = field(default_factory=list)
    stages: list[MapNode] | None = None
    kept: list[bool] = field(default_factory=list)
    elements: Sequence[int] = ()
    log_count: int = 0
    is_concurrent: bool = False
    ended: set[int] = field(default_factory=set)  # calls that parts of its report have told of
    cancelled: set[int] = field(default_factory=set)  # calls that were cancelled by themselves
    handed_ns: int = 0  # when the runner had taken it; 0 again once its first report is there
    has_hooks: bool | None = None  # whether any of its tasks has; None: nobody has looked

    @property
    def graph(self) -> FlowGraph:
        """The graph that all of it is of."""
        node = self.stages[0] if self.stages else self.calls[0]
        graph: FlowGraph = node.graph
        return graph

    @property
    def size(self) -> int:
        """How many calls it has."""
        return len(self.elements) * len(self.stages) if self.stages else len(self.calls)

    @property
    def taken(self) -> int:
        """How many elements, or single calls, left the queue with it."""
        return self.batch.body.calls // (len(self.stages) if self.stages else 1)

    def cut(self, reach: int) -> None:
        """The calls from a position on belong to it no more."""
        if self.stages:
            self.elements = self.elements[: reach // len(self.stages)]
        else:
            self.calls = self.calls[:reach]


class RunnerQueue:
    """All that waits for one runner, and all that it carries out."""

    def __init__(self, runner: Runner, book: CostBook) -> None:
        self.runner = runner
        self.book = book
        self.calls: dict[Any, CallWork] = {}
        self.maps: dict[int, MapWork] = {}
        self.flights: dict[int, Flight] = {}
        self.busy = 0  # batches under way that take a slot
        self.long = 0  # those of them beside which no other should wait
        self.calls_in_flight = 0  # those of them that have single calls
        self.calls_under_way = 0  # concurrent ones
        self.blocked = 0
        self.started = False
        self.loop: Any = None
        self.elastic: ElasticRunner | None = None
        if isinstance(runner, ElasticRunner) and runner.is_elastic:
            self.elastic = runner
        self.tells_remaining = False

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return bool(self.calls) or bool(self.maps)

    def add_call(self, node: TaskNode, first: bool = False) -> None:
        """A call can begin; ``first``: it is the next in line."""
        nodes = self._call_work(node).nodes
        if first:
            nodes.appendleft(node)
        else:
            nodes.append(node)

    def _call_work(self, node: TaskNode) -> CallWork:
        task = node.task
        alone = task.kind.startswith("async") or task.resources or task.batch_size
        limits = node.graph.tag_limits and limits_of(node)
        key = (id(node.graph), task.kind, id(task) if alone else task.name, limits)
        work = self.calls.get(key)
        if work is None:
            work = self.calls[key] = CallWork(task)
        return work

    def add_range(
        self, work: MapWork, start: int, stop: int, first: bool = False, alone: bool = False
    ) -> None:
        """Elements of a map can begin."""
        if work.has_cancelled:
            settled = work.stages[0].settled
            left = [each for each in range(start, stop) if settled[each] != _CANCELLED]
            if len(left) < stop - start:
                runs = runs_of(left) if left else []
                for run in reversed(runs) if first else runs:
                    self.add_range(work, run.start, run.stop, first, alone)
                return
        self.maps[id(work)] = work
        if first:
            work.ranges.appendleft(Range(start, stop, alone))
            return
        last = work.ranges[-1] if work.ranges else None
        if last is not None and last.stop == start and not (alone or last.alone):
            work.ranges[-1] = Range(last.start, stop)
        else:
            work.ranges.append(Range(start, stop, alone))

    def drop_call(self, node: TaskNode) -> None:
        """A call will not begin."""
        for work in self.calls.values():
            if node in work.nodes:
                work.nodes.remove(node)

    def drop_elements(self, work: MapWork) -> None:
        """Of a map, elements that are cancelled will not begin, now or later."""
        work.has_cancelled = True
        waiting, work.ranges = work.ranges, deque()
        self.maps.pop(id(work), None)
        for start, stop, alone in waiting:
            self.add_range(work, start, stop, alone=alone)

    def drop_maps(self, graphs: set[int]) -> None:
        """Forget the maps of these graphs (by ``id()``)."""
        self.maps = {
            key: work for key, work in self.maps.items() if id(work.stages[0].graph) not in graphs
        }

    def next_flights(self) -> Iterator[Flight]:
        """The batches that should be under way by now and are not, each as soon as it is made."""
        for is_concurrent in (False, True):
            while self._has_room(is_concurrent):
                flight = self._next_flight(is_concurrent)
                if flight is None:
                    break
                yield flight

    def _has_room(self, is_concurrent: bool) -> bool:
        if is_concurrent:
            return self.free_calls > 0
        slots = self.runner.slots + self.blocked
        if self.busy < slots:
            return slots > 0
        return self.busy < 2 * slots and not self.long

    def _may_begin(self, work: Work) -> bool:
        """Whether a batch of it may be next: no second one of a map waits beside calls."""
        # those that follow from them had to wait behind it, and a branch took twice as long
        if isinstance(work, CallWork) or work.is_concurrent or not work.in_flight:
            return True
        return not self.calls_in_flight or self.busy < self.runner.slots + self.blocked

    @property
    def free_calls(self) -> int:
        """How many more concurrent calls may be under way."""
        return free_calls(self.runner.event_loops, self.calls_under_way)

    def _next_flight(self, is_concurrent: bool) -> Flight | None:
        while True:
            works: list[Work] = [*self.calls.values(), *self.maps.values()]
            waiting = [
                work
                for work in works
                if work.is_concurrent is is_concurrent and work.ready and self._may_begin(work)
            ]
            if not waiting:
                return None
            work = min(waiting, key=lambda work: (work.in_flight, work.order))
            flight = (
                self._call_flight(work) if isinstance(work, CallWork) else self._map_flight(work)
            )
            if flight is not None:
                self._take_off(flight)
                return flight

    def _take_off(self, flight: Flight) -> None:
        flight.work.in_flight += 1
        flight.work.under_way += flight.taken
        flight.is_concurrent = flight.work.is_concurrent
        self.flights[flight.batch.id] = flight
        if flight.is_concurrent:
            self.calls_under_way += flight.batch.body.calls
        else:
            self.busy += 1
            self.long += not flight.batch.short
            self.calls_in_flight += flight.stages is None

    def told(self, flight: Flight, positions: Iterable[int]) -> None:
        """A part of the report of a batch is there: these calls have ended."""
        before = len(flight.ended)
        flight.ended.update(positions)
        if flight.is_concurrent:
            self.calls_under_way -= len(flight.ended) - before

    def land(self, batch_id: int) -> Flight | None:
        """A batch is not under way any more; None: it was not."""
        flight = self.flights.pop(batch_id, None)
        if flight is not None:
            flight.work.in_flight -= 1
            flight.work.under_way -= flight.taken
            if flight.is_concurrent:
                self.calls_under_way -= flight.batch.body.calls - len(flight.ended)
            else:
                self.busy -= 1
                self.long -= not flight.batch.short
                self.calls_in_flight -= flight.stages is None
        return flight

    def _occupancy(self, work: Work) -> tuple[int, int]:
        """Slots, and the batches that they have (event loops, and the calls that they have)."""
        if work.is_concurrent:
            return max(self.runner.event_loops, 1), self.calls_under_way
        return max(self.runner.slots, 1), max(self.busy - self.blocked, 0)

    def _call_flight(self, work: CallWork) -> Flight | None:
        costs = self.runner.costs.for_value(self.book.total_bytes([work.task.name]))
        picked = work.take(*self._occupancy(work), costs, self.book)
        if not work.nodes:
            self.calls = {key: other for key, other in self.calls.items() if other is not work}
        nodes = picked.calls
        if not nodes:
            return None
        stay = any(map(_is_needed_outside, nodes))
        if stay and not work.is_concurrent:
            picked.put_depths_in_turn()
        builder = BodyBuilder()
        body = builder.calls(nodes, may_drop=not work.is_concurrent)
        attempts = {at: node.attempt for at, node in enumerate(nodes) if node.attempt > 1}
        lengths = frozenset(at for at, node in enumerate(nodes) if node.wants_length)
        seconds = picked.seconds if picked.is_known else None
        batch = self._batch(nodes[0], builder, body, attempts, lengths, seconds, costs, stay)
        batch.suspect = nodes[0].alone  # then there is no other
        batch.alone = batch.suspect and _has_last_try([nodes[0].losses])
        batch.value_bytes = self._bytes_leaving(nodes, body.last_uses)
        if stay and not batch.keeps and not work.is_concurrent:  # what is persisted is packed, once
            batch.early_seconds = early_seconds(costs)
        return Flight(batch, work, calls=nodes)

    def _bytes_leaving(self, nodes: list[TaskNode], last_uses: Mapping[int, int]) -> float | None:
        """What the values take that leave a batch; None: nobody knows.

        Others are used within it, by the next call or by a later one: of these the largest leaves,
        too, if the batch is cut between them.
        """
        leaving = (node for at, node in enumerate(nodes) if at not in last_uses)
        total = self.book.total_bytes(node.task.name for node in leaving)
        if total is None:
            return None
        passing = (nodes[at].task.name for at, last in last_uses.items() if last > at + 1)
        return max([total, *map(self.book.bytes, passing)])

    def _map_flight(self, work: MapWork) -> Flight | None:
        stages = work.stages
        kept = kept_stages(stages)
        leaving = [stage.task.name for stage, keep in zip(stages, kept, strict=True) if keep]
        each = self.book.total_bytes(leaving)
        costs = self.runner.costs.for_value(each)
        suspect = work.ranges[0].alone
        elements, mean = work.take(*self._occupancy(work), costs, self.book)
        if not work.ranges:
            del self.maps[id(work)]
        builder = BodyBuilder()
        body = builder.elements(stages, kept, elements)
        width = len(stages)
        attempts = {}
        tried_before = any(stage.attempts for stage in stages)
        places = {each: at for at, each in enumerate(elements)} if tried_before else {}
        for number, stage in enumerate(stages):
            tried = stage.attempts if len(stage.attempts) < len(elements) else elements
            for element in tried:
                attempt = stage.attempts.get(element, 1)
                if attempt > 1 and element in places:
                    attempts[places[element] * width + number] = attempt
        stay = any(stage.dependents or stage.element_dependents for stage in stages)
        seconds = None if mean is None else mean * len(elements)
        batch = self._batch(stages[0], builder, body, attempts, frozenset(), seconds, costs, stay)
        batch.suspect = suspect
        if suspect and len(elements) == 1:
            batch.alone = _has_last_try(stage.losses.get(elements[0], 0) for stage in stages)
            batch.early_seconds = 0.0  # what its stages before the deadly one come to is known
        batch.value_bytes = None if each is None else each * len(elements)
        return Flight(batch, work, stages=stages, kept=kept, elements=elements)

    def _batch(
        self,
        node: TaskNode | MapNode,
        builder: BodyBuilder,
        body: Body,
        attempts: dict[int, int],
        lengths: frozenset[int],
        seconds: float | None,
        costs: RunnerCosts,
        stay: bool,
    ) -> Batch:
        run, parameters = node.graph.sent_info()
        limits = limits_of(node)
        return Batch(
            id=next(batch_ids),
            run=run,
            tasks=limited(builder.tasks, limits, run.store) if limits else builder.tasks,
            body=body,
            inputs=builder.inputs,
            attempts=attempts,
            seconds=seconds,
            budget_seconds=budget_seconds(seconds, costs, self.busy / max(self.runner.slots, 1)),
            part_seconds=costs.part_seconds,
            short=is_short(seconds, costs),
            lengths=lengths,
            exact=any(self.book.bytes(task.name) > _BIG_VALUE for task in builder.tasks),
            values_stay=stay,
            resources=dict(node.task.resources),
            parameters=None if parameters is None else builder.column(parameters),
            keeps=keeps_of(node.graph, builder.tasks),
        )


def keeps_of(graph: FlowGraph, tasks: Sequence[Any]) -> dict[int, Any]:
    """How the results of a batch's tasks are persisted, by the number of the task."""
    results = graph.results
    if results is None or not results.persists:
        return {}
    found = ((number, results.of(task)) for number, task in enumerate(tasks))
    return {number: about.keep for number, about in found if about is not None}


def _has_last_try(losses: Iterable[int]) -> bool:
    """Whether a call may not be lost once more."""
    return max(losses) == MAX_LOSSES - 1


def _is_needed_outside(node: TaskNode) -> bool:
    """Whether anything that is in no batch yet waits for a call."""
    return any(
        not (isinstance(waits, TaskNode) and waits.aboard) for waits, *_ in node.dependents or ()
    )
