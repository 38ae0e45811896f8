"""Semantics, how a flow ends: its state and what a plain call gives, by what the body ends with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dataflow import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    allow_failure,
    flow,
    task,
)
from dataflow.errors import (
    DefinitionError,
    FailedRun,
    MissingExtra,
    ParameterTypeError,
    ResultMissing,
    StorageError,
    UnhandledTaskFailure,
    UpstreamTaskError,
)
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def double(x):
    return 2 * x


@task
def fail(x=0):
    raise ValueError(f"bad {x}")


@task
def ends_as(state):
    return {"cancelled": Cancelled(message="stop"), "paused": Paused(message="later")}[state]


def _end(body: Any, **options: Any) -> State[Any]:
    """The state in which a flow with that body ends; it is what the store has, too."""
    made = flow(body, name="ending", **options)
    state: State[Any] = made(return_state=True)
    stored = run_of(made).state
    assert (stored.type, stored.name, stored.message) == (state.type, state.name, state.message)
    return state


def test_plain_data_and_none() -> None:
    for value in (None, 5, [1, {"a": 2}], "text", ValueError("as data")):
        made = flow(
            lambda value=value: value, name=f"data-{value!r:.20}", validate_parameters=False
        )
        assert repr(made()) == repr(value)
        assert run_of(made).state.is_completed()


def test_data_with_good_tasks_that_nobody_awaits() -> None:
    def body() -> int:
        double.submit(1)
        double.map([1, 2])
        return 5

    state = _end(body)
    assert (state.name, state.data, state.message) == ("Completed", 5, None)


def test_a_returned_state_is_the_flows_state() -> None:
    assert _end(lambda: Failed(message="no data today")).message == "no data today"


def test_a_returned_completed_state() -> None:
    state = _end(lambda: Completed(message="skipped", data=3))
    assert (state.name, state.message, state.data) == ("Completed", "skipped", 3)


@pytest.mark.parametrize("make", [Running, Pending, Scheduled, AwaitingRetry])
def test_a_returned_state_that_does_not_end_a_run(make: Any) -> None:
    state = _end(lambda: make(message="really"))
    assert state.name == "Failed"
    assert state.message == (
        f"The flow 'ending' returned the state {make().name}: really, which does not end a run."
    )
    assert isinstance(state.result(raise_on_failure=False), FailedRun)


@pytest.mark.parametrize("make", ["future", "state", "element"])
def test_one_future_or_state_of_a_task_gives_its_state(make: str) -> None:
    def end_with(which: Any, value: Any) -> Any:
        if make == "future":
            return which.submit(value)
        return which.submit(value, return_state=True) if make == "state" else which.map([value])[0]

    good = flow(lambda: end_with(double, 4), name="good")
    bad = flow(lambda: end_with(fail, 4), name="bad")
    assert good() == 8
    with pytest.raises(ValueError, match="bad 4"):
        bad()
    state = run_of(bad).state
    assert (state.name, state.message) == (
        "Failed",
        "Task run encountered an exception ValueError: bad 4",
    )


def test_a_future_of_what_did_not_run() -> None:
    made = flow(lambda: double.submit(fail.submit(1)), name="not-ready")
    with pytest.raises(UpstreamTaskError) as caught:
        made()
    assert isinstance(caught.value.__cause__, ValueError)
    assert not run_of(made).state.is_completed()


def test_containers_of_futures_become_containers_of_values() -> None:
    made = flow(
        lambda: {
            "list": [double.submit(1), 5, None],
            "map": double.map([1, 2]),
            "tuple": (double.submit(2), {"deep": double.submit(3)}),
            "state": double.submit(4, return_state=True),
            "set": {double.submit(5)},
        },
        name="containers",
    )
    assert made() == {
        "list": [2, 5, None],
        "map": [2, 4],
        "tuple": (4, {"deep": 6}),
        "state": 8,
        "set": {10},
    }


def test_some_of_several_failed() -> None:
    state = _end(lambda: [double.submit(1), fail.submit(1), {"x": fail.submit(2)}])
    assert (state.name, state.message) == ("Failed", "2/3 states failed.")


def test_several_failures_raise_a_group() -> None:
    made = flow(lambda: (fail.submit(1), fail.submit(2), double.submit(1)), name="several")
    with pytest.raises(ExceptionGroup, match="2/3 states failed") as caught:
        made()
    assert [str(error) for error in caught.value.exceptions] == ["bad 1", "bad 2"]


def test_one_failure_among_several_raises() -> None:
    made = flow(lambda: [double.submit(1), fail.submit(7)], name="one-of-two")
    with pytest.raises(ValueError, match="bad 7"):
        made()


def test_a_map_with_failed_elements() -> None:
    made = flow(lambda: fail.map([1]) + double.map([1, 2, 3]), name="map-fails")
    with pytest.raises(ValueError, match="bad 1"):
        made()
    assert run_of(made).state.message == "1/4 states failed."


def test_cancelled_and_paused_among_the_states() -> None:
    state = _end(lambda: [fail.submit(1), ends_as.submit("cancelled"), double.submit(1)])
    assert state.name == "Cancelled"


def test_paused_among_the_states() -> None:
    def body() -> Any:
        paused = Paused(message="later")
        return [paused, Failed(message="no"), double.submit(1)]

    assert _end(body).name == "Paused"


# --- failures that nobody looked at --------------------------------------------------------------


@flow
def unhandled_submit():
    fail.submit(1)
    return 5


@flow
def unhandled_element():
    fail.map([1, 2])


@flow
def unhandled_and_not_ready():
    double.submit(fail.submit(3))
    return "done"


@pytest.mark.parametrize(
    ("made", "named", "causes"),
    [
        (unhandled_submit, ["'fail-0'|fail-0"], ["bad 1"]),
        (unhandled_element, [r"fail-0\[0\]", r"fail-0\[1\]"], ["bad 1", "bad 2"]),
        (unhandled_and_not_ready, ["fail-0"], ["bad 3"]),
    ],
)
def test_a_failure_that_nobody_looked_at_fails_the_flow(
    made: Any, named: list[str], causes: list[str]
) -> None:
    with pytest.raises(UnhandledTaskFailure) as caught:
        made()
    assert isinstance(caught.value, ExceptionGroup)
    messages = [str(error) for error in caught.value.exceptions]
    assert messages[: len(causes)] == causes
    for name in named:
        assert caught.match(name)
    state = run_of(made).state
    assert state.is_failed()
    assert "fail-0" in (state.message or "")


def _asks_result() -> Any:
    future = fail.submit(1)
    with pytest.raises(ValueError, match="bad 1"):
        future.result()


def _asks_exception() -> Any:
    fail.submit(1).result(raise_on_failure=False)


def _asks_state() -> Any:
    future = fail.submit(1)
    future.wait()
    assert future.state.is_failed()


def _allows() -> Any:
    double.submit(1, wait_for=[allow_failure(fail.submit(1))])
    named.submit(allow_failure(fail.submit(2)))


def _wants_states() -> Any:
    fail.submit(1, return_state=True)
    fail.map([1, 2], return_state=True)
    fail(1, return_state=True)


def _asks_map() -> Any:
    fail.map([1, 2]).result(raise_on_failure=False)
    futures = fail.map([1, 2])
    futures.wait()
    assert len(futures.failed()) == 2
    assert len(fail.map([1, 2]).states()) == 2


def _asks_what_depends_on_it() -> Any:
    double.submit(fail.submit(1)).result(raise_on_failure=False)


def _catches_a_call() -> Any:
    with pytest.raises(ValueError, match="bad 1"):
        fail(1)


@task
def named(x):
    return type(x).__name__


@pytest.mark.parametrize(
    "body",
    [
        _asks_result,
        _asks_exception,
        _asks_state,
        _allows,
        _wants_states,
        _asks_map,
        _asks_what_depends_on_it,
        _catches_a_call,
    ],
)
def test_taking_notice(body: Any) -> None:
    made = flow(body, name="notice")
    assert made() is None
    assert run_of(made).state.is_completed()


def test_fail_on_unhandled_can_be_switched_off() -> None:
    made = unhandled_submit.with_options(fail_on_unhandled=False, name="careless")
    assert made() == 5
    assert run_of(made).state.is_completed()
    assert counts_of(made) == {"fail-0": {"Failed": 1}}


# --- exceptions and parameters -------------------------------------------------------------------


def test_an_exception_in_the_body() -> None:
    def body() -> None:
        double.submit(1)
        raise LookupError("lost")

    state = _end(body)
    assert (state.name, state.message) == (
        "Failed",
        "Flow run encountered an exception: LookupError: lost",
    )
    assert isinstance(state.data, LookupError)


def test_an_exception_outweighs_failed_tasks() -> None:
    def body() -> None:
        fail.submit(1)
        raise LookupError("lost")

    with pytest.raises(LookupError):
        flow(body, name="lost")()


def test_the_users_own_exception_goes_through_a_bare_call() -> None:
    with pytest.raises(ValueError, match="bad 3"):
        flow(lambda: fail(3), name="called")()


@flow
def typed(count: int, name: str = "x"):
    raise AssertionError("the body must not run")


def test_invalid_parameters() -> None:
    with pytest.raises(ParameterTypeError, match="count"):
        typed("many")
    state = typed.with_options(name="again")("many", return_state=True)
    assert state.is_failed()
    assert isinstance(state.data, ParameterTypeError)
    with pytest.raises(TypeError, match="count"):
        typed.with_options(name="missing")()
    with pytest.raises(TypeError, match="colour"):
        typed.with_options(name="unknown")(1, colour="red")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_exception(kind: type[BaseException]) -> None:
    seen: list[str] = []

    def body() -> None:
        double.submit(1)
        raise kind

    made = flow(
        body,
        name="interrupted",
        on_cancellation=[lambda flow, run, state: seen.append("cancelled")],
        on_crashed=[lambda flow, run, state: seen.append("crashed")],
    )
    with pytest.raises(kind):
        made()
    expected = "Crashed" if kind is SystemExit else "Cancelled"
    assert run_of(made).state.name == expected
    assert seen == [expected.lower()]


def test_failed_without_an_exception_raises_failed_run() -> None:
    with pytest.raises(FailedRun, match="nothing there"):
        flow(lambda: Failed(message="nothing there"), name="nothing")()


# --- its own result -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"result_storage": "/dev/null/results"}, StorageError),
        ({"result_storage": "oss://bucket/results"}, MissingExtra),
        ({"result_serializer": "jsn"}, DefinitionError),
    ],
)
@pytest.mark.parametrize("depth", ["flow", "subflow"])
def test_a_flow_whose_own_results_cannot_be_kept_does_not_begin(options, error, depth):
    begun = []

    @flow(persist_result=True, retries=2, **options)
    def hopeless(x):
        begun.append(x)

    @flow
    def outer():
        hopeless(1)

    with pytest.raises(error):
        outer() if depth == "subflow" else hopeless(1)
    assert begun == []
    assert run_of(hopeless).state.name == "Failed"


def test_a_result_of_a_flow_that_cannot_be_kept_any_more_harms_nothing_else(tmp_path):
    @flow(persist_result=True, result_storage=tmp_path / "kept")
    def outlives_its_storage():
        (tmp_path / "kept").rmdir()
        (tmp_path / "kept").write_text("in the way")
        return 5

    assert outlives_its_storage() == 5
    run = run_of(outlives_its_storage)
    assert run.state.name == "Completed"
    assert any("was not persisted: StorageError" in line.message for line in run.logs())
    with pytest.raises(ResultMissing):
        run.state.result()
