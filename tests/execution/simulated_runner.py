"""A run without threads, processes, clocks or disks: the state, and a runner that obeys a script.

Batches are carried out by the real worker code when the test says so; they can be cut short, lost,
or ended at a call, in any order that hypothesis thinks of.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Collection, Iterable
from typing import Any

from dataflow.execution.announcements import Beginning, announce
from dataflow.execution.loop.beginnings import (
    begun_before_loss,
    begun_by,
    begun_when_handed_over,
)
from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.state.outbox import Retry
from dataflow.execution.loop.state.run_state import RunState
from dataflow.execution.runner_protocol import NobodyHelps
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.model.batches import Batch, BatchReport, RunInfo
from dataflow.model.records import BatchRecord, Record
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.planner.cost_book import CostBook
from dataflow.worker.async_calls import AsyncBatchCarrier
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import pack
from dataflow.worker.expand import Calls, Chain, Function
from dataflow.worker.outcomes import Deliver


class ScriptedRunner(NobodyHelps):
    """Takes batches; the test decides what becomes of them."""

    name = "scripted"
    shares_objects = False
    costs = RunnerCosts(dispatch_seconds=1e-4, target_seconds=0.05)

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.event_loops = 1


class SimulatedRun:
    """One graph, its state, and what is under way."""

    def __init__(self, slots: int = 2, run_id: str = "r" * 32) -> None:
        self.runner = ScriptedRunner(slots)
        self.state = RunState(lambda: 0)
        self.queue = RunnerQueue(self.runner, CostBook())  # type: ignore[arg-type]
        self.graph = FlowGraph(run_id, "simulated")
        self.graph.info = RunInfo(run_id, "run", "simulated")
        self.graph.queue = self.queue
        self.under_way: list[Flight] = []
        self.retries: list[Retry] = []
        self.records: list[Record] = []
        self.begun: dict[tuple[int, int], int] = {}  # the last attempt of each that was told of

    def trace(self) -> None:
        """The run loop takes what was traced."""
        fresh, held = self.graph.take_fresh()
        self.state.traced(fresh)
        del held
        self.turn()

    def turn(self) -> None:
        """What the run loop does after each message."""
        outbox = self.state.take_outbox()
        self.retries += outbox.retries
        self.records += outbox.records
        announce(outbox.announcements)
        flights = list(self.queue.next_flights())
        for flight in flights:
            self._have_begun(begun_when_handed_over(flight))
        self.under_way += flights
        if self.state.outbox.records or self.state.outbox.announcements:
            self.turn()

    def carry_out(self, number: int, most: int | None = None, parts: Collection[int] = ()) -> None:
        """A batch comes back; with ``most``, it reaches no more than so many elements.

        After each of so many calls as ``parts`` says it reports what it has done so far.
        """
        flight = self.under_way.pop(number % len(self.under_way))
        self._reported(self._carry_out(flight, most, parts))

    def lose(self, number: int, position: int | None, parts: Collection[int] = ()) -> None:
        """The worker of a batch dies; it may have reported in part before."""
        flight = self.under_way.pop(number % len(self.under_way))
        if position is not None and position >= 0:
            position %= flight.batch.body.calls
            parts = [part for part in parts if part <= position]
        if parts:
            width = len(flight.stages or "1")
            most = None if position is None or position < 0 else position // width + 1
            self._carry_out(flight, most, parts)
        if flight.batch.is_concurrent:
            position = None
        self._have_begun(begun_before_loss(flight, position))
        self.state.lost(self.queue, flight.batch.id, position, "it was killed", False)
        self.turn()

    def _carry_out(self, flight: Flight, most: int | None, parts: Collection[int]) -> BatchReport:
        batch: Batch = pickle.loads(pickle.dumps(flight.batch))
        carrier: _Cut | _Shuffled
        if batch.is_concurrent:
            carrier = _Shuffled(batch, parts, self._reported)
        else:
            carrier = _Cut(batch, most, parts, self._reported)
        return carrier.carry_out()

    def _reported(self, report: BatchReport) -> None:
        flight = self.queue.flights.get(report.batch_id)
        self.state.reported(self.queue, pickle.loads(pickle.dumps(report)))
        if flight is not None:
            self._have_begun(begun_by(flight, report))
        self.turn()

    def _have_begun(self, beginnings: Iterable[Beginning]) -> None:
        for node, element, attempt in beginnings:
            place = node.id, element or 0
            self.begun[place] = max(self.begun.get(place, 0), attempt)

    def finish_retries(self) -> None:
        """All delays are over."""
        retries, self.retries = self.retries, []
        for retry in retries:
            self.state.retry(retry)
        self.turn()

    def run_to_end(self, choose: Callable[[], int] = lambda: 0) -> None:
        """Carry out whatever is left."""
        while self.under_way or self.retries:
            if self.under_way:
                self.carry_out(choose())
            else:
                self.finish_retries()

    def recorded_states(self) -> dict[tuple[int, int], list[int]]:
        """Every state that was recorded of each task run, in order."""
        found: dict[tuple[int, int], list[int]] = {}
        for record in self.records:
            if isinstance(record, BatchRecord):
                for place, code in zip(_places(record), record.states, strict=True):
                    found.setdefault(place, []).append(code)
        return found

    def announced_states(self) -> dict[tuple[int, int], int]:
        """The state of each task run that futures would show."""
        found: dict[tuple[int, int], int] = {}
        for node in self.graph:
            if isinstance(node, TaskNode):
                found[node.id, 0] = node.announced
            elif isinstance(node, MapNode):
                found.update({(node.id, at): code for at, code in enumerate(node.codes)})
        return found


class _Cut(BatchCarrier):
    """Makes no more than so many calls (elements of fused maps are never cut apart)."""

    def __init__(
        self, batch: Batch, most: int | None, parts: Collection[int], deliver: Deliver
    ) -> None:
        super().__init__(batch, pack)
        self.most = most
        self.parts = set(parts)
        self.deliver = deliver
        self.deadline = 0

    def expand(self) -> Calls | Chain:
        calls = super().expand()
        if isinstance(calls, Chain):
            calls.functions = [self.telling(function) for function in calls.functions]
            return calls
        return ((self.telling(function), args, kwargs) for function, args, kwargs in calls)

    def make_call(self, *call: Any) -> None:
        self.tell_part()
        super().make_call(*call)

    def telling(self, function: Function) -> Function:
        """The function, which tells of the calls before it first."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self.tell_part()
            return function(*args, **kwargs)

        return call

    def report(self) -> BatchReport:
        self.tell_part()
        return super().report()

    def tell_part(self) -> None:
        """The next call is under way, or none is."""
        if len(self.ended) in self.parts:
            self.parts.remove(len(self.ended))
            self.report_part(self.deliver)

    def may_stop(self, position: int) -> bool:
        end = self.end
        return end is not None and super().may_stop(position) and position >= end

    @property
    def end(self) -> int | None:
        """The call that it stops at."""
        width = len(getattr(self.batch.body, "stages", ())) or 1
        return None if self.most is None else self.most * width

    def cut(self) -> int | None:
        """Every other part says where it will end."""
        if self.end is None or self.end >= self.batch.body.calls or len(self.ended) % 2:
            return None
        self.stops_at = self.end
        return self.end


class _Shuffled(AsyncBatchCarrier):
    """Concurrent calls that end in a strange order."""

    def __init__(self, batch: Batch, parts: Collection[int], deliver: Deliver) -> None:
        super().__init__(batch, pack)
        self.parts = parts
        self.deliver = deliver

    def carry_out(self) -> BatchReport:
        self.capture()
        calls = self.all_calls()
        self.make_room(len(calls))
        for done, position in enumerate(sorted(range(len(calls)), key=lambda at: at * 7 % 11)):
            asyncio.run(self._run_one(position, calls[position]))
            if done in self.parts:
                self.report_part(self.deliver)
        return self.report()


def _places(record: BatchRecord) -> Iterable[tuple[int, int]]:
    from array import array

    if record.stages is None:
        assert record.nodes is not None
        return [(node, 0) for node in array("q", record.nodes)]
    width = len(record.stages)
    return [
        (record.stages[call % width], record.start + call // width) for call in range(record.calls)
    ]
