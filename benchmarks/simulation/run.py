"""One simulated run: a map of many elements on many threads."""

from __future__ import annotations

import heapq
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.peak_memory import PeakMemory
from benchmarks.simulation.client import Client, SimulatedRunner
from benchmarks.simulation.cluster import Cluster, Timeline
from dataflow import task
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.trace import trace_map
from dataflow.ids import new_run_id
from dataflow.model.batches import RunInfo
from dataflow.model.records import RunRecord, RunStateRecord
from dataflow.model.states import StateCode
from dataflow.planner.batch_sizes import cluster_costs
from dataflow.store.run_store import RunStore, open_store

KINDS = ("constant", "lognormal")
_DISPATCH_SECONDS = 0.010  # of a cluster that is not the runner's own (see ``runners.dask``)
_SHAPE = 1.5


@task
def element(x: int) -> int:
    """What is mapped; it is never called."""
    return x


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run; seconds are those of the simulated clock, unless it says otherwise.

    Attributes:
        makespan: until the last element was recorded.
        ideal: of elements that are handed to free threads one after the other, at no cost.
        client_seconds: of processor time that the flow's process needed.
        client_bytes: how far its memory grew.
        messages: that the scheduler received and sent.
        scheduler_seconds: of its processor time, as the model has it.
        batches: that were sent.
        recorded: elements that the store has as Completed.
    """

    makespan: float
    ideal: float
    client_seconds: float
    client_bytes: int
    messages: int
    scheduler_seconds: float
    batches: int
    recorded: int

    def __str__(self) -> str:
        return (
            f"makespan {self.makespan:,.1f} s, {self.makespan / self.ideal:.3f} of the ideal; "
            f"client {self.client_seconds / self.makespan:.1%} of a core, "
            f"{self.client_bytes / 1e6:,.0f} MB; "
            f"scheduler {self.messages / self.makespan:,.0f} messages a second, "
            f"{self.scheduler_seconds / self.makespan:.1%} of a core; {self.batches:,} batches"
        )


def simulate(threads: int, n: int, mean_seconds: float, kind: str) -> Outcome:
    """Run a map of n elements on a simulated cluster; every element is recorded.

    Args:
        threads: of the cluster.
        n: elements.
        mean_seconds: what one takes on average.
        kind: how much they differ, one of ``KINDS``.
    """
    seconds = _durations(n, mean_seconds, kind)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/runs.db")
        timeline = Timeline()
        cluster = Cluster(timeline, threads)
        runner = SimulatedRunner(threads, cluster_costs(_DISPATCH_SECONDS, threads))
        graph = _graph(store)
        node = trace_map(graph, element, (range(n),), {}, None)
        memory = PeakMemory()
        client = Client(timeline, cluster, runner, store, seconds)
        client.begin(graph)
        timeline.run()
        grown = memory.grown_bytes()
        assert node.ended(), "some elements have not ended"
        (found,) = store.nodes(graph.run_id)
        recorded = found.counts["Completed"]
        store.close()
    return Outcome(
        makespan=timeline.now,
        ideal=_ideal(seconds, threads),
        client_seconds=client.busy_seconds,
        client_bytes=grown,
        messages=cluster.messages,
        scheduler_seconds=cluster.busy_seconds,
        batches=client.batches,
        recorded=recorded,
    )


def _durations(n: int, mean_seconds: float, kind: str) -> list[float]:
    """The same in every run."""
    if kind == "constant":
        return [mean_seconds] * n
    drawn = np.random.default_rng(3).lognormal(0, _SHAPE, n)
    found: list[float] = (drawn * (mean_seconds * n / drawn.sum())).tolist()
    return found


def _ideal(seconds: Sequence[float], threads: int) -> float:
    """When the last of some threads is done, each of which takes the next element when it can."""
    free = [0.0] * threads
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def _graph(store: RunStore) -> FlowGraph:
    """The graph of a run that is recorded as having begun."""
    run_id, now = new_run_id(), time.time_ns()
    run = RunRecord(
        run_id=run_id,
        flow_name="simulated",
        name="simulated",
        parameters_json="{}",
        tags=(),
        parent_run_id=None,
        parent_node=None,
        runner="simulated",
        flow_version=None,
        created_ns=now,
        pid=0,
        host="",
        code_path=None,
    )
    states = (StateCode.PENDING, StateCode.RUNNING)
    entered = [RunStateRecord(run_id, code, code.state_name, None, now) for code in states]
    store.write([run, *entered])
    graph = FlowGraph(run_id, "simulated")
    graph.info = RunInfo(run_id, "simulated", "simulated")
    return graph
