"""Where the time of a run went: recorded on every runner, and nothing that cannot be.

No limit here is one of speed: what tasks slept is in the sums, and no sum has more than there was.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import astuple
from itertools import pairwise

import pytest

from dataflow import flow, records, task
from dataflow.execution.runner_choice import choose_runner
from dataflow.records import PhaseSeconds, Run
from tests.runners.stored import run_of

NAP_SECONDS = 0.01


@pytest.fixture(autouse=True)
def on_every_runner(runner: str) -> str:
    return runner


@task
def nap(x):
    time.sleep(NAP_SECONDS)
    return x


@task
def add(x, y):
    return x + y


@task
async def wait_long(x):
    await asyncio.sleep(NAP_SECONDS)
    return x


@task
def fail(x):
    raise ValueError(x)


@flow
def many_ways():
    napped = nap.map(range(20)).result()
    calls = [nap.submit(x) for x in napped]
    sums = [add.submit(x, y) for x, y in pairwise(calls)]
    assert nap(1) == 1
    return [future.result() for future in sums]


def phases_of(run: Run) -> PhaseSeconds:
    phases = run.timing().phases
    assert phases is not None
    return phases


def test_the_phases_of_a_run_are_possible() -> None:
    many_ways()
    timing = run_of(many_ways).timing()
    phases = phases_of(run_of(many_ways))
    assert all(seconds >= 0 for seconds in astuple(phases))
    assert min(phases.tracing, phases.planning, phases.dispatch, phases.recording) > 0
    assert timing.wall_seconds is not None
    slots = choose_runner(None).slots + 1  # and the body's own thread
    assert 41 * NAP_SECONDS <= phases.compute <= slots * timing.wall_seconds * 1.01
    assert phases.compute + phases.transfer >= timing.busy_seconds * 0.99


class Slow:
    """Takes its time to be pickled, and to be loaded."""

    def __reduce__(self):
        time.sleep(NAP_SECONDS)
        return _load_slowly, ()


def _load_slowly() -> Slow:
    time.sleep(NAP_SECONDS)
    return Slow()


@task
def make(x):
    return Slow()


@task
def look(value):
    return type(value).__name__


@flow
def slow_values():
    made = make.submit(1)
    made.wait()
    assert look.submit(made).result() == "Slow"
    return look.submit(Slow()).result()


def test_packing_and_loading_of_values_is_transfer(shares_objects: bool) -> None:
    slow_values()
    phases = phases_of(run_of(slow_values))
    if not shares_objects:  # a value packed by its task and loaded by another, an argument loaded
        assert phases.transfer >= 3 * NAP_SECONDS


@flow
def waits():
    return wait_long.map(range(10)).result()


def test_calls_that_wait_beside_each_other_are_no_compute() -> None:
    waits()
    run = run_of(waits)
    assert phases_of(run).compute == 0
    assert run.timing().busy_seconds >= 10 * NAP_SECONDS


@flow
def fails():
    nap.map(range(4)).result()
    fail.submit(1).result()


def test_a_run_that_fails_has_its_phases_too() -> None:
    with pytest.raises(ValueError, match="1"):
        fails()
    assert phases_of(run_of(fails)).compute >= 4 * NAP_SECONDS


@task
def call_nap(x):
    return nap(x)


@flow
def outer():
    return call_nap.submit(1).result()


def test_a_run_inside_a_worker_has_its_own(shares_objects: bool) -> None:
    assert outer() == 1
    assert phases_of(run_of(outer)).compute >= NAP_SECONDS
    inner = records.runs(parent_run_id=run_of(outer).id)
    assert len(inner) == (0 if shares_objects else 1)
    for run in inner:
        assert phases_of(run).compute >= NAP_SECONDS


def test_while_a_run_goes_on_its_phases_are_not_known() -> None:
    @flow
    def looks():
        (run,) = records.runs(flow_name="looks")
        return run.timing().phases

    assert looks() is None
    assert phases_of(run_of(looks)).compute == 0
