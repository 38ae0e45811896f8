"""A run without workers, on a clock of its own: which batches there would be, and for how long.

State machine, queues and batches are those of a real run, so what comes of it is what a run would
do if every call took as long as such calls took before. Nothing is recorded or announced.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.state.run_state import RunState
from dataflow.execution.runner_protocol import NobodyHelps
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import CallNode, MapNode, Node, TaskNode
from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.planner.cost_book import CostBook

ASSUMED_SECONDS = 0.001
"""What a call takes of which nobody knows."""
_COMPLETED = bytes((StateCode.COMPLETED,))


@dataclass(frozen=True, slots=True)
class RehearsedBatch:
    """A batch of a rehearsal.

    Attributes:
        nodes: its calls, or the maps whose elements it has (several: they are fused).
        calls: how many calls it makes.
        elements: how many elements of each map; of single calls how many there are.
        begun, ended: when, in seconds from the beginning.
    """

    nodes: tuple[TaskNode | MapNode, ...]
    calls: int
    elements: int
    begun: float
    ended: float


@dataclass(slots=True)
class Rehearsal:
    """What came of it.

    Attributes:
        batches: in the order in which they were handed over.
        left: nodes that never began: their length, or that of what they need, is not known before.
        seconds: how long it took.
        in_place: how much of that the body spent in calls in place.
        most_under_way: the most batches that were under way at once.
    """

    batches: list[RehearsedBatch] = field(default_factory=list)
    left: list[Node] = field(default_factory=list)
    seconds: float = 0.0
    in_place: float = 0.0
    most_under_way: int = 0


class _Workers(NobodyHelps):
    """Stands in for a runner: takes batches and says when they will be done."""

    shares_objects = False

    def __init__(self, slots: int, costs: RunnerCosts) -> None:
        self.slots = slots
        self.event_loops = slots
        self.costs = costs
        self._free_at = [0.0] * slots

    def carry_out(self, flight: Flight, now: float, seconds: float) -> tuple[float, float]:
        """From when until when a batch is carried out."""
        ready = now + self.costs.dispatch_seconds
        if flight.is_concurrent:
            return ready, ready + seconds
        begun = max(heapq.heappop(self._free_at), ready)
        heapq.heappush(self._free_at, begun + seconds)
        return begun, begun + seconds


class _Part(NamedTuple):
    """Calls ``first`` to ``stop`` of a batch, which it tells of at once; times in seconds."""

    first: int
    stop: int
    begun: float
    ended: float


class _Unmade:
    """Stands in for a column of values that nobody has made."""

    nbytes = 0

    def __init__(self, number: int) -> None:
        self.count = number


def rehearse(
    graph: FlowGraph, slots: int, costs: RunnerCosts, seconds: dict[str, float]
) -> Rehearsal:
    """Carry out a traced graph on a clock of its own; the graph cannot be used afterwards.

    Args:
        graph: traced and never run.
        slots: how many batches run at once.
        costs: the runner's costs.
        seconds: how long a call of a task takes, as far as it is known.
    """
    return _Play(graph, slots, costs, seconds).play()


class _Play:
    def __init__(
        self, graph: FlowGraph, slots: int, costs: RunnerCosts, seconds: dict[str, float]
    ) -> None:
        self.graph = graph
        self.seconds = seconds
        self.workers = _Workers(slots, costs)
        book = CostBook()
        for task, known in seconds.items():
            book.learn(task, 1, known)
        self.state = RunState(lambda: 0)
        self.queue = RunnerQueue(self.workers, book)  # type: ignore[arg-type]
        self.rehearsal = Rehearsal()
        self.events: list[tuple[float, int, Flight, _Part]] = []
        self.order = count()

    def play(self) -> Rehearsal:
        found, graph = self.rehearsal, self.graph
        graph.queue = self.queue
        graph.copies_arguments = False  # nothing is sent
        fresh, held = graph.take_fresh()
        known, found.left = _split(fresh)
        self.state.traced(known)
        del held
        self.hand_over(0.0)
        while self.events:
            now, _, flight, part = heapq.heappop(self.events)
            found.seconds = now
            self.state.reported(self.queue, _report(flight, part))
            self.hand_over(now)
        found.in_place = sum(self.mean(node) for node in graph if isinstance(node, CallNode))
        found.seconds += found.in_place
        return found

    def hand_over(self, now: float) -> None:
        """Give the workers what should be under way by now."""
        self.state.take_outbox()
        for flight in self.queue.next_flights():
            calls = flight.batch.body.calls
            nodes: list[Any] = flight.stages or flight.calls
            spent = self.spent(flight)
            begun, ended = self.workers.carry_out(flight, now, spent)
            for part in _parts(flight, begun, ended):
                heapq.heappush(self.events, (part.ended, next(self.order), flight, part))
            elements = len(flight.elements) if flight.stages else calls
            self.rehearsal.batches.append(
                RehearsedBatch(tuple(nodes), calls, elements, begun, ended)
            )
        under_way = len(self.queue.flights)
        self.rehearsal.most_under_way = max(self.rehearsal.most_under_way, under_way)

    def spent(self, flight: Flight) -> float:
        """How long a batch takes; calls of ``async`` tasks wait beside each other."""
        nodes: list[Any] = flight.stages or flight.calls
        each = [self.mean(node) for node in nodes]
        if flight.is_concurrent:
            return max(each)
        return sum(each) * (len(flight.elements) if flight.stages else 1)

    def mean(self, node: Any) -> float:
        return self.seconds.get(node.task.name, ASSUMED_SECONDS)


def _parts(flight: Flight, begun: float, ended: float) -> Iterator[_Part]:
    """What a batch tells, one after the other: all at its end, but for what others wait for."""
    calls = flight.batch.body.calls
    mean = (ended - begun) / calls
    step, first = calls, 0
    if not flight.is_concurrent and flight.batch.early_seconds < ended - begun:
        step = math.ceil(flight.batch.early_seconds / mean)
    while calls - first > 2 * step:
        yield _Part(first, first + step, begun + first * mean, begun + (first + step) * mean)
        first += step
    yield _Part(first, calls, begun + first * mean, ended)


def _report(flight: Flight, part: _Part) -> BatchReport:
    """The report of calls of a batch all of which went well."""
    batch = flight.batch
    calls = part.stop - part.first
    begun, ended = int(part.begun * 1e9), int(part.ended * 1e9)
    ends = array("q", (begun + (ended - begun) * (at + 1) // calls for at in range(calls)))
    last_uses = getattr(batch.body, "last_uses", ())
    dropped = tuple(sorted(at for at in last_uses if part.first <= at < part.stop))
    return BatchReport(
        batch_id=batch.id,
        first=part.first,
        states=_COMPLETED * calls,
        clock_offset_ns=0,
        first_started_ns=begun,
        started=None,
        ended=ends.tobytes(),
        values=_Unmade(calls - len(dropped)),  # type: ignore[arg-type]
        worker="",
        dropped=dropped,
        final=part.stop == batch.body.calls,
    )


def _split(nodes: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes that can be planned, and those that only a run tells of, with what needs them."""
    known: list[Node] = []
    left: list[Node] = []
    unknown: set[int] = set()
    for node in nodes:
        needs = (id(ref.node) for ref in (*node.upstream, *node.order))
        has_length = not isinstance(node, MapNode) or node.length is not None
        if not has_length or not unknown.isdisjoint(needs):
            unknown.add(id(node))
        (left if id(node) in unknown else known).append(node)
    return known, left
