"""One simulated run: a flow that maps a task over many elements, on many threads."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.peak_memory import PeakMemory
from benchmarks.simulation.batches import Seconds
from benchmarks.simulation.runner import SimulatedRunner
from dataflow import flow, records, task
from dataflow.planner.batch_sizes import cluster_costs

_DISPATCH_SECONDS = 0.010  # of a cluster that is not the runner's own (see ``runners.dask``)
_SHAPE = 1.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run; seconds are those of the simulated clock, unless it says otherwise.

    Attributes:
        makespan: until the last element was recorded.
        ideal: of elements that are handed to free threads one after the other, at no cost.
        client_seconds: of processor time that the flow's process needed.
        client_bytes: its resident memory at its peak, all that simulates the cluster included.
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

    @property
    def over_ideal(self) -> float:
        """How many times the ideal it took."""
        return self.makespan / self.ideal

    def __str__(self) -> str:
        return (
            f"makespan {self.makespan:,.1f} s, {self.over_ideal:.3f} of the ideal; "
            f"client {self.client_seconds / self.makespan:.1%} of a core, "
            f"{self.client_bytes / 1e6:,.0f} MB; "
            f"scheduler {self.messages / self.makespan:,.0f} messages a second, "
            f"{self.scheduler_seconds / self.makespan:.1%} of a core; {self.batches:,} batches"
        )


@task
def element(x: int) -> int:
    """What is mapped; it is never called."""
    return x


def simulate(threads: int, n: int, mean_seconds: float, kind: str) -> Outcome:
    """Run a flow that maps n elements on a simulated cluster; it is recorded as any other.

    Args:
        threads: of the cluster.
        n: elements.
        mean_seconds: what one takes on average.
        kind: how much they differ, one of ``KINDS``.
    """
    durations = _KINDS[kind](n)
    durations *= mean_seconds * n / durations.sum()
    ideal = _ideal(durations, threads)
    runner = SimulatedRunner(threads, cluster_costs(_DISPATCH_SECONDS, threads), durations)

    @flow(task_runner=runner)
    def simulated() -> None:
        element.map(range(n)).wait()

    memory = PeakMemory()
    simulated()
    runner.close()
    counts = [node.counts for node in records.runs(limit=1)[0].nodes()]
    return Outcome(
        makespan=runner.makespan,
        ideal=ideal,
        client_seconds=runner.client_seconds,
        client_bytes=memory.start_bytes + memory.grown_bytes(),
        messages=runner.cluster.messages,
        scheduler_seconds=runner.cluster.busy_seconds,
        batches=runner.batches,
        recorded=sum(count.get("Completed", 0) for count in counts),
    )


def _lognormal(n: int) -> Seconds:
    """The same in every run."""
    return np.random.default_rng(3).lognormal(0, _SHAPE, n)


_KINDS: dict[str, Callable[[int], Seconds]] = {
    "constant": np.ones,
    "lognormal": _lognormal,
    "ascending": lambda n: np.sort(_lognormal(n)),
}
KINDS = tuple(_KINDS)


def _ideal(durations: Seconds, threads: int) -> float:
    """When the last of some threads is done, each of which takes the next element when it can."""
    if durations.min() == durations.max():
        return float(durations[0]) * -(-len(durations) // threads)
    free = [0.0] * threads
    for each in durations:
        heapq.heapreplace(free, free[0] + each)
    return float(max(free))
