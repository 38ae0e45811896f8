"""Semantics, retries, timeouts and hooks."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from dataflow import exponential_backoff, flow, get_run_logger, runtime, task
from dataflow.errors import TaskRunTimeoutError
from tests.runners.conftest import every_batch_size
from tests.runners.stored import counts_of, messages_of, run_of

pytestmark = [pytest.mark.usefixtures("runner"), every_batch_size]


@task(retries=2)
def third_time(x):
    if runtime.task_run.run_count < 3:
        raise ValueError(f"attempt {runtime.task_run.run_count}")
    return x, runtime.task_run.run_count


delayed = third_time.with_options(name="delayed", retry_delay_seconds=0.02)
too_few = third_time.with_options(name="too_few", retries=1)
listed = third_time.with_options(name="listed", retry_delay_seconds=[0, 0.02])
backing_off = third_time.with_options(
    name="backing_off", retry_delay_seconds=exponential_backoff(0.01), retry_jitter_factor=0.5
)


@task(retries=2)
async def third_time_async(x):
    await asyncio.sleep(0)
    if runtime.task_run.run_count < 3:
        raise ValueError(f"attempt {runtime.task_run.run_count}")
    return x, runtime.task_run.run_count


@flow
def retried():
    found = []
    for each in (third_time, delayed, listed, backing_off, third_time_async):
        futures = each.map(range(3))
        found.append((each(1), each.submit(2), futures))
    return found


def test_tasks_are_retried_with_and_without_delays() -> None:
    expected = ((1, 3), (2, 3), [(0, 3), (1, 3), (2, 3)])
    assert retried() == [expected] * 5
    run = run_of(retried)
    assert all(set(node.counts) == {"Completed"} for node in run.nodes())
    for name in ("third_time-1", "delayed-1", "delayed-0", "third_time_async-1"):
        attempts = run.element(name).attempts
        assert [attempt.attempt for attempt in attempts] == [1, 2, 3]
        assert [str(a.exception) for a in attempts[:2]] == ["attempt 1", "attempt 2"]
        assert attempts[2].state.is_completed()
        assert all(a.ended_ns >= a.started_ns for a in attempts)
        assert attempts[0].ended_ns <= attempts[2].started_ns


@flow
def not_enough():
    futures = [too_few.submit(1), *too_few.map([2, 3])]
    return [str(future.result(raise_on_failure=False)) for future in futures]


def test_retries_that_are_not_enough() -> None:
    assert not_enough() == ["attempt 2"] * 3
    assert counts_of(not_enough) == {"too_few-0": {"Failed": 1}, "too_few-1": {"Failed": 2}}
    assert len(run_of(not_enough).element("too_few-0").attempts) == 2


def _only_value_errors(task: Any, task_run: Any, state: Any) -> bool:
    assert task_run.run_count in (1, 2)
    return isinstance(state.data, ValueError) and "attempt" in (state.message or str(state.data))


def _raises(task: Any, task_run: Any, state: Any) -> bool:
    raise RuntimeError("no idea")


conditional = third_time.with_options(name="conditional", retry_condition_fn=_only_value_errors)
refused = third_time.with_options(name="refused", retry_condition_fn=lambda *_: False)
confused = third_time.with_options(name="confused", retry_condition_fn=_raises)


@flow
def conditions():
    return [
        [
            each.submit(1).result(raise_on_failure=False),
            each.map([1])[0].result(raise_on_failure=False),
        ]
        for each in (conditional, refused, confused)
    ]


def test_retry_conditions() -> None:
    good, no, error = conditions()
    assert good == [(1, 3), (1, 3)]
    assert [str(value) for value in no] == ["attempt 1", "attempt 1"]
    assert [str(value) for value in error] == ["attempt 1", "attempt 1"]
    assert any("no idea" in line for line in messages_of(run_of(conditions)))


def test_more_than_fifty_delays() -> None:
    with pytest.raises(ValueError, match="50"):
        task(retries=60, retry_delay_seconds=[1] * 51)(lambda: 1)


_attempts: list[int] = []


@flow(retries=2, retry_delay_seconds=0.01)
def flow_retries():
    _attempts.append(runtime.flow_run.run_count or 0)
    if len(_attempts) < 3:
        raise ValueError("again")
    return len(_attempts)


def test_flow_retries_run_the_body_again() -> None:
    _attempts.clear()
    assert flow_retries() == 3
    assert _attempts == [1, 2, 3]
    names = [state.name for state in run_of(flow_retries).states()]
    assert names == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "AwaitingRetry",
        "Retrying",
        "Completed",
    ]


# --- timeouts ------------------------------------------------------------------------------------


@task(timeout_seconds=0.3)
def sleeps(seconds):
    time.sleep(seconds)
    return seconds


@task(timeout_seconds=0.3)
async def sleeps_async(seconds):
    await asyncio.sleep(seconds)
    return seconds


@task(timeout_seconds=30)
def own_timeout(x):
    raise TimeoutError("the server's")


@flow
def with_timeouts():
    futures = [sleeps.submit(60), sleeps_async.submit(60), *sleeps.map([0, 60, 0])]
    begun = time.monotonic()
    for future in futures:
        future.wait()
    took = time.monotonic() - begun
    called = [each(60, return_state=True) for each in (sleeps, sleeps_async)]
    states = [future.state for future in futures] + called
    errors = [state.result(raise_on_failure=False) for state in states if state.is_failed()]
    return [state.name for state in states], errors, took


def test_timeouts_end_sync_and_async_tasks_on_every_runner() -> None:
    names, errors, took = with_timeouts()
    late = "TimedOut"
    assert names == [late, late, "Completed", late, "Completed", late, late]
    assert all(isinstance(error, TaskRunTimeoutError) for error in errors)
    assert all(isinstance(error, TimeoutError) for error in errors)
    assert "0.3 second" in str(errors[0])
    assert took < 60
    element = run_of(with_timeouts).element("sleeps-0")
    assert (element.state.type.value, element.state.name) == ("FAILED", late)


@flow
def without_timeouts():
    futures = [own_timeout.submit(1), *own_timeout.map([1])]
    return [repr(f.result(raise_on_failure=False)) for f in futures], [
        f.state.name for f in futures
    ]


def test_a_timeout_error_of_the_user_is_a_plain_failure() -> None:
    assert without_timeouts() == (['TimeoutError("the server\'s")'] * 2, ["Failed"] * 2)


@task(timeout_seconds=0.3, retries=1)
def late_once(x):
    if runtime.task_run.run_count == 1:
        time.sleep(60)
    return runtime.task_run.run_count


@flow
def retried_after_timeout():
    return late_once.submit(1), late_once.map([1]), late_once(1)


def test_timed_out_is_retried() -> None:
    assert retried_after_timeout() == (2, [2], 2)
    attempts = run_of(retried_after_timeout).element("late_once-0").attempts
    assert [attempt.attempt for attempt in attempts] == [1, 2]
    assert attempts[0].state.name == "TimedOut"


@flow
def half_a_second():
    begun = time.monotonic()
    futures = sleeps.with_options(timeout_seconds=0.5).map([60])
    quick = [int_of.submit(n) for n in range(5)]
    assert [future.result() for future in quick] == list(range(5))
    futures.wait()
    return futures.states()[0].name, time.monotonic() - begun


@task
def int_of(x):
    return x


def test_a_minute_of_sleep_with_half_a_second_of_time(runner: str) -> None:
    """A busy machine takes its time to end a worker, but less than half of that minute."""
    if runner == "inline":
        pytest.skip("inline carries out neighbours one after the other")
    flow(lambda: int_of.map(range(4)), name="warm")()
    name, took = half_a_second()
    assert name == "TimedOut"
    assert took < 30


@flow(timeout_seconds=0.3)
def slow_flow():
    time.sleep(60)


@flow(timeout_seconds=0.3)
async def slow_async_flow():
    await asyncio.sleep(60)


def test_flows_time_out() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.3 second"):
        slow_flow()
    with pytest.raises(TimeoutError, match=r"0\.3 second"):
        asyncio.run(slow_async_flow())
    assert time.monotonic() - begun < 60
    for each in (slow_flow, slow_async_flow):
        assert run_of(each).state.is_failed()


# --- hooks ---------------------------------------------------------------------------------------

_called: list[tuple[str, str, str]] = []


def _note(kind: str) -> Any:
    def hook(owner: Any, run: Any, state: Any) -> None:
        _called.append((kind, run.name, state.name))

    return hook


async def _async_hook(owner: Any, run: Any, state: Any) -> None:
    await asyncio.sleep(0)
    _called.append(("async", run.name, state.name))


def _bad_hook(owner: Any, run: Any, state: Any) -> None:
    raise RuntimeError("hooks may fail")


@task(
    on_running=[_note("running")],
    on_completion=[_bad_hook, _note("completion"), _async_hook],
    on_failure=[_note("failure")],
)
def hooked(x):
    if x < 0:
        raise ValueError("negative")
    return x


@hooked.on_completion
def also(owner: Any, run: Any, state: Any) -> None:
    _called.append(("decorated", run.name, str(state.data)))


@flow(on_running=[_note("flow running")], on_completion=[_note("flow completion")])
def hooks():
    get_run_logger().info("here")
    hooked.submit(5)
    hooked.map([6, -1], return_state=True)
    hooked(7)


def test_hooks_are_called_for_each_state_in_the_flows_process() -> None:
    _called.clear()
    hooks()
    name = run_of(hooks).name
    own = [entry for entry in _called if entry[1] == name]
    assert own == [("flow running", name, "Running"), ("flow completion", name, "Completed")]
    assert _called[0] == own[0]
    assert _called[-1] == own[1]
    for run, value in (("hooked-0", "5"), ("hooked-1[0]", "6"), ("hooked-2", "7")):
        assert [(kind, state) for kind, of, state in _called if of == run] == [
            ("running", "Running"),
            ("completion", "Completed"),
            ("async", "Completed"),
            ("decorated", value),
        ]
    assert [(kind, state) for kind, of, state in _called if of == "hooked-1[1]"] == [
        ("running", "Running"),
        ("failure", "Failed"),
    ]
    said = [line.message for line in run_of(hooks).logs()]
    assert sum("hooks may fail" in line for line in said) == 3


@task(retries=1, on_failure=[_note("failure")], on_running=[_note("running")])
def fails_always(x):
    raise ValueError("always")


@flow(on_failure=[_note("flow failure")])
def failing():
    fails_always.submit(1).result()


def test_on_failure_is_called_when_the_failure_is_final() -> None:
    _called.clear()
    with pytest.raises(ValueError, match="always"):
        failing()
    kinds = [kind for kind, of, _ in _called if of == "fails_always-0"]
    assert kinds.count("failure") == 1
    assert kinds.count("running") >= 1
    assert _called[-1][0] == "flow failure"
