"""What people really write, cases 8 and 11: tasks in tasks, flows in tasks, return_state."""

from __future__ import annotations

from typing import Any

import pytest

import dataflow
from dataflow import State, allow_failure, flow, task, wait
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def double(x):
    return 2 * x


@task
def fail(x=0):
    raise ValueError(f"bad {x}")


@task
def total(values):
    return sum(values)


# --- 8: tasks that call, submit and map tasks, and call flows ------------------------------------


@flow
def small(n):
    return total.submit(double.map(range(n)))


@task
def calls(x):
    return double(x) + 1


@task
def submits(x):
    futures = [double.submit(n) for n in range(x)]
    return sum(future.result() for future in futures)


@task
def maps(x):
    return total(double.map(range(x)))


@task
def calls_a_flow(x):
    return small(x)


@task
def goes_deep(depth):
    return 0 if depth == 0 else 1 + goes_deep.submit(depth - 1).result()


@task
def awaits_nobody(x):
    double.map(range(x))
    return x


@flow
def tasks_in_tasks():
    return (
        calls.submit(1),
        submits.submit(4),
        maps.map([1, 2, 3]),
        calls_a_flow.map([2, 3]),
        goes_deep.submit(5),
        calls(3),
        awaits_nobody.submit(2),
    )


EXPECTED = (3, 12, [0, 2, 6], [2, 6], 5, 7, 2)


def test_tasks_call_submit_and_map_tasks_and_call_flows() -> None:
    assert tasks_in_tasks() == EXPECTED


def _one_worker(runner: str) -> Any:
    if runner == "threads":
        return dataflow.ThreadPoolTaskRunner(max_workers=1)
    if runner == "processes":
        return dataflow.ProcessPoolTaskRunner(max_workers=1)
    return runner


def test_one_worker_is_enough(runner: str) -> None:
    if runner == "dask":
        pytest.skip("one worker: see the tests of the Dask runner; a cluster costs seconds")
    chosen = _one_worker(runner)
    try:
        assert tasks_in_tasks.with_options(task_runner=chosen)() == EXPECTED
    finally:
        if chosen is not runner:
            chosen.close()


@task
def fails_inside(x):
    return fail.submit(x).result()


@flow
def failures_inside():
    return [future.result(raise_on_failure=False) for future in fails_inside.map([1, 2])]


def test_failures_of_tasks_inside_tasks_come_through() -> None:
    assert list(map(repr, failures_inside())) == ["ValueError('bad 1')", "ValueError('bad 2')"]
    assert counts_of(failures_inside)["fails_inside-0"] == {"Failed": 2}


# --- 11: return_state ----------------------------------------------------------------------------


@flow
def subflow(good):
    return double(2) if good else fail(7)


@flow
def states():
    called, failed = double(1, return_state=True), fail(1, return_state=True)
    submitted, broken = double.submit(2, return_state=True), fail.submit(2, return_state=True)
    mapped = double.map([1, 2], return_state=True)
    some = list(map(_state_of, range(3)))
    inner, inner_failed = subflow(True, return_state=True), subflow(False, return_state=True)
    found = [called, failed, submitted, broken, *mapped, *some, inner, inner_failed]
    assert all(isinstance(state, State) for state in found)
    return [(state.name, repr(state.result(raise_on_failure=False))) for state in found]


def _state_of(number):
    return (fail if number == 1 else double).submit(number, return_state=True)


def test_return_state_everywhere() -> None:
    found = states()
    failure = "ValueError('bad {}')".format
    assert found == [
        ("Completed", "2"),
        ("Failed", failure(1)),
        ("Completed", "4"),
        ("Failed", failure(2)),
        ("Completed", "2"),
        ("Completed", "4"),
        ("Completed", "0"),
        ("Failed", failure(1)),
        ("Completed", "4"),
        ("Completed", "4"),
        ("Failed", failure(7)),
    ]
    assert run_of(states).state.is_completed()


@flow
def failing_states():
    state = fail.submit(3, return_state=True)
    with pytest.raises(ValueError, match="bad 3"):
        state.result()
    assert isinstance(state.result(raise_on_failure=False), ValueError)
    return state.message


def test_results_of_states() -> None:
    assert failing_states() == "Task run encountered an exception ValueError: bad 3"


@task
def kind_of(value):
    return type(value).__name__


@flow
def states_as_arguments():
    good, bad = double(1, return_state=True), fail(1, return_state=True)
    mapped = double.map([1, 2, 3], return_state=True)
    not_ready = kind_of.submit(bad)
    not_ready.wait()
    return (
        double.submit(good),
        double(good),
        double.map(mapped),
        total.submit(mapped),
        double.map([good, 5]),
        kind_of.submit(allow_failure(bad)),
        kind_of(allow_failure(bad)),
        not_ready.state.name,
        double(double.submit(good, return_state=True)),
    )


def test_states_resolve_as_arguments_and_are_mapped_over() -> None:
    expected = (4, 4, [4, 8, 12], 12, [4, 10], "ValueError", "ValueError", "NotReady", 8)
    assert states_as_arguments() == expected


@flow
def waits_on_states():
    state = double(1, return_state=True)
    futures = double.map([1, 2])
    done, not_done = wait([state, *futures])
    assert not not_done
    return len(done)


def test_wait_takes_states_among_futures() -> None:
    assert waits_on_states() in (2, 3)


def test_a_flow_returns_its_state() -> None:
    state = subflow(False, return_state=True)
    assert state.is_failed()
    assert state.message == "Flow run encountered an exception: ValueError: bad 7"
    assert isinstance(state.data, ValueError)
    good = subflow.with_options(name="good")(True, return_state=True)
    assert (good.name, good.result()) == ("Completed", 4)
