"""What a runner that gets larger and smaller is told: all that waits or runs, in seconds."""

from __future__ import annotations

from typing import Any

import pytest

from dataflow import task
from dataflow.execution.loop.remaining import remaining_work
from dataflow.execution.runner_protocol import ElasticRunner, Remaining
from dataflow.futures import FutureList
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.planner.batch_sizes import MAX_CONCURRENT_BATCH
from runners.dask import DaskTaskRunner
from runners.processes import ProcessPoolTaskRunner
from tests.execution.simulated_runner import SimulatedRun


@task
def inc(x: int) -> int:
    return x + 1


@task
async def soon(x: int) -> int:
    return x + 1


def traced(which: Any, count: int, mean: float | None = None) -> SimulatedRun:
    """A map that waits, and runs in part."""
    run = SimulatedRun()
    if mean is not None:
        run.queue.book.learn(which.name, 1, mean)
    trace_map(run.graph, which, (range(count),), {}, None)
    run.trace()
    return run


def test_only_a_runner_that_adapts_is_told() -> None:
    assert not isinstance(ProcessPoolTaskRunner(), ElasticRunner)
    assert not DaskTaskRunner().is_elastic
    assert DaskTaskRunner(adapt_kwargs={"maximum": 2}).is_elastic


def test_elements_that_were_never_measured() -> None:
    assert remaining_work(traced(inc, 1000).queue) == Remaining(unmeasured=1000)


def test_seconds_of_what_waits_and_what_runs() -> None:
    run = traced(inc, 1000, 0.5)
    assert run.under_way
    assert run.queue.waiting
    found = remaining_work(run.queue)
    assert (found.elements, found.unmeasured) == (1000, 0)
    assert found.seconds == pytest.approx(500)


def test_stages_of_one_batch_count_together() -> None:
    run = SimulatedRun()
    run.queue.book.learn("inc", 1, 0.5)
    first = trace_map(run.graph, inc, (range(100),), {}, None)
    trace_map(run.graph, inc, (FutureList(node=first),), {}, None)
    run.trace()
    found = remaining_work(run.queue)
    assert found.elements == 100
    assert found.seconds == pytest.approx(100)


def test_single_calls() -> None:
    run = SimulatedRun()
    run.queue.book.learn("inc", 1, 0.5)
    for number in range(20):
        trace_submit(run.graph, inc, (number,), {}, None)
    run.trace()
    found = remaining_work(run.queue)
    assert found.elements == 20
    assert found.seconds == pytest.approx(10)


def test_what_a_batch_has_told_of_is_over() -> None:
    run = traced(inc, 10, 0.5)
    flight = run.under_way[0]
    flight.ended.update(range(len(flight.elements)))
    assert remaining_work(run.queue).elements == 10 - len(flight.elements)


def test_elements_that_share_a_batch_share_a_worker() -> None:
    found = remaining_work(traced(inc.with_options(batch_size=10), 1000, 1e-4).queue)
    assert found.elements == 100
    assert found.seconds == pytest.approx(0.1)
    found = remaining_work(traced(soon, 4 * MAX_CONCURRENT_BATCH).queue)
    assert found == Remaining(unmeasured=4)


def test_nothing_remains_at_the_end() -> None:
    run = traced(inc, 300)
    assert remaining_work(run.queue)
    run.run_to_end()
    assert remaining_work(run.queue) == Remaining()
