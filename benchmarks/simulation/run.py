"""One simulated run: a map of many elements on many threads."""

from __future__ import annotations

import tempfile
import time
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
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.store.run_store import open_store

DISPATCH_SECONDS = 0.010
_SHAPE = 1.5


@task
def element(x: int) -> int:
    """What is mapped; it is never called."""
    return x


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        makespan, ideal: seconds on the simulated clock; the ideal is the work ÷ threads, or the
            longest element.
        client_seconds: of processor time that the flow's process needed.
        client_bytes: how far its memory grew.
        messages: of the scheduler.
        scheduler_seconds: of processor time, as the model has it.
    """

    makespan: float
    ideal: float
    client_seconds: float
    client_bytes: int
    messages: int
    scheduler_seconds: float
    batches: int


def durations(n: int, mean_seconds: float, kind: str) -> np.ndarray:
    """Seconds of n elements: ``constant`` or ``lognormal`` (s = 1.5), the same in every run."""
    if kind == "constant":
        return np.full(n, mean_seconds)
    drawn = np.random.default_rng(3).lognormal(0, _SHAPE, n)
    return drawn * (mean_seconds * n / drawn.sum())


def simulate(threads: int, n: int, mean_seconds: float, kind: str) -> Outcome:
    """Run a map of n elements on a simulated cluster; every element is recorded."""
    seconds = durations(n, mean_seconds, kind)
    ideal = max(float(seconds.sum()) / threads, float(seconds.max()))
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/runs.db")
        timeline = Timeline()
        cluster = Cluster(timeline, threads)
        runner = SimulatedRunner(threads, costs_of(threads))
        memory = PeakMemory()
        client = Client(timeline, cluster, runner, store, seconds, part_seconds(threads))
        run_id = new_run_id()
        graph = FlowGraph(run_id, "simulated")
        graph.info = RunInfo(run_id, "simulated", "simulated")
        node = trace_map(graph, element, (range(n),), {}, None)
        now = time.time_ns()
        store.write(
            [
                RunRecord(run_id, "simulated", "simulated", "{}", (), None, None, "simulated", None,
                          now, 0, "", None),
                RunStateRecord(run_id, StateCode.PENDING, "Pending", None, now),
                RunStateRecord(run_id, StateCode.RUNNING, "Running", None, now),
            ]
        )
        client.begin(graph)
        timeline.run()
        assert node.ended(), "some elements have not ended"
        grown = memory.grown_bytes()
        store.close()
    return Outcome(
        timeline.now, ideal, client.busy_seconds, grown, cluster.messages,
        cluster.busy_seconds, client.batches,
    )


def costs_of(threads: int) -> RunnerCosts:
    target_seconds = min(max(2 * threads * DISPATCH_SECONDS, 0.1), 2.0)
    return RunnerCosts(DISPATCH_SECONDS, target_seconds)


def part_seconds(threads: int) -> float:
    return 0.5


if __name__ == "__main__":
    import sys
    threads, n, mean, kind = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    t = time.time()
    o = simulate(threads, n, mean, kind)
    print(f"{threads} threads, {n:,} x {mean} s {kind}: ideal {o.ideal:.1f} makespan {o.makespan:.1f} ({o.makespan/o.ideal:.3f}), client {o.client_seconds/o.makespan:.1%}, {o.client_bytes/1e6:.0f} MB, {o.messages/o.makespan:.0f} messages/s, scheduler {o.scheduler_seconds/o.makespan:.1%}, {o.batches:,} batches; real {time.time()-t:.1f} s")
