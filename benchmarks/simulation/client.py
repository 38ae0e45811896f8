"""The flow's process of a simulated run: the real state, planner and store, and how long they take.

What they do is done in earnest, while the simulated clock stands still; the time that it took then
passes on that clock before anything else can happen there.
"""

from __future__ import annotations

import pickle
import time
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from benchmarks.simulation.cluster import Cluster, Timeline
from dataflow.execution.announcements import announce
from dataflow.execution.queues import Flight, RunnerQueue
from dataflow.execution.state.run_state import RunState
from dataflow.graph.flow_graph import FlowGraph
from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.planner.cost_book import CostBook
from dataflow.store.run_store import RunStore
from dataflow.worker.columns import pack
from runners.dask_worker import PART_SECONDS

BATCH_SECONDS = 100e-6
"""What a batch costs the client's own Dask, beside our code: to be sent, and to be told of."""
MESSAGE_SECONDS = 500e-6
"""The same for each message with batches or reports, however many are in it."""
_MOST_AT_ONCE = 100
_COMPLETED = bytes((StateCode.COMPLETED,))


class SimulatedRunner:
    """What the planner asks of a runner."""

    name = "simulated"
    shares_objects = False
    event_loops = 0

    def __init__(self, slots: int, costs: RunnerCosts) -> None:
        self.slots = slots
        self.costs = costs

    def helps(self, inside: bool) -> bool:
        """Nobody works for the workers."""
        return False


class Client:
    """One run of one graph.

    Args:
        timeline, cluster: where its batches go.
        runner: how large the cluster is, and what a batch costs there.
        store: where everything is recorded.
        durations: the seconds of each element.
    """

    def __init__(
        self,
        timeline: Timeline,
        cluster: Cluster,
        runner: SimulatedRunner,
        store: RunStore,
        durations: Sequence[float],
    ) -> None:
        self.timeline, self.cluster = timeline, cluster
        self.durations = durations
        self.store = store
        self.state = RunState(time.time_ns)
        self.queue = RunnerQueue(runner, CostBook())  # type: ignore[arg-type]
        self.busy_seconds = 0.0
        self.batches = 0
        self._inbox: list[bytes] = []
        self._free_at = 0.0
        self._is_due = False

    def begin(self, graph: FlowGraph) -> None:
        """Take a graph that was traced."""
        graph.queue = self.queue
        fresh, held = graph.take_fresh()
        begun = time.process_time()
        self.state.traced(fresh)
        del held
        self._follow(begun)

    def _turn(self) -> None:
        """What the run loop does with what has arrived."""
        self._is_due = False
        reports, self._inbox = self._inbox[:_MOST_AT_ONCE], self._inbox[_MOST_AT_ONCE:]
        begun = time.process_time()
        for data in reports:
            self.state.reported(self.queue, pickle.loads(data))
        self._follow(begun, len(reports))
        self._wake()

    def _follow(self, begun: float, reports: int = 0) -> None:
        outbox = self.state.take_outbox()
        flights = list(self.queue.next_flights())
        messages = [pickle.dumps(flight.batch.body, 5) for flight in flights]
        self.store.write(outbox.records)
        announce(outbox.announcements)
        spent = time.process_time() - begun
        spent += (len(messages) + reports) * BATCH_SECONDS
        spent += (bool(messages) + bool(reports)) * MESSAGE_SECONDS
        self.busy_seconds += spent
        self._free_at = self.timeline.now + spent
        if flights:
            self.batches += len(flights)
            self.timeline.at(self._free_at, lambda: self._send(flights))

    def _send(self, flights: list[Flight]) -> None:
        self.cluster.send([self._job(flight) for flight in flights])

    def _job(self, flight: Flight) -> tuple[float, int, Any]:
        """What the cluster is to do, and the report that will come of it."""
        elements = flight.elements
        ends: list[float] = []
        for end in accumulate(self.durations[at] for at in elements):
            ends.append(end)
            if end > flight.batch.budget_seconds:
                break
        begun = int(self.timeline.now * 1e9)
        report = BatchReport(
            batch_id=flight.batch.id,
            first=0,
            states=_COMPLETED * len(ends),
            clock_offset_ns=0,
            first_started_ns=begun,
            started=None,
            ended=array("q", [begun + int(end * 1e9) for end in ends]).tobytes(),
            values=pack(list(elements[: len(ends)]), exact=False),
            worker="simulated:1",
        )
        data = pickle.dumps(report, 5)
        parts = int(ends[-1] / max(PART_SECONDS, flight.batch.part_seconds))
        self.busy_seconds += parts * BATCH_SECONDS
        return ends[-1], parts, lambda: self._arrived(data)

    def _arrived(self, data: bytes) -> None:
        self._inbox.append(data)
        self._wake()

    def _wake(self) -> None:
        if self._inbox and not self._is_due:
            self._is_due = True
            self.timeline.at(max(self._free_at, self.timeline.now), self._turn)
