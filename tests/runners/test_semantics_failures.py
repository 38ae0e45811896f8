"""Semantics, failures: exceptions keep their type, traceback and cause, from every process."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from dataflow import Cached, Completed, Crashed, Failed, allow_failure, flow, runtime, task
from dataflow.errors import CrashedRun, FailedRun, TransferError
from tests.runners.conftest import every_batch_size
from tests.runners.stored import counts_of, run_of

pytestmark = [pytest.mark.usefixtures("runner"), every_batch_size]


class NoSuchRecord(Exception):
    """Has an ``__init__`` of its own, and more than a message."""

    def __init__(self, table: str, key: int) -> None:
        super().__init__(f"no {key} in {table}")
        self.table = table
        self.key = key


class WithKeywords(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class HoldsALambda(Exception):
    def __init__(self, fn: Any) -> None:
        super().__init__("holds a function")
        self.fn = fn


class Nasty(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@task
def raises(kind):
    if kind == "record":
        raise NoSuchRecord("users", 7)
    if kind == "keywords":
        raise WithKeywords(code=5)
    if kind == "lambda":
        raise HoldsALambda(lambda: 3)
    if kind == "group":
        raise ExceptionGroup("several", [ValueError("one"), NoSuchRecord("t", 1)])
    if kind == "nasty":
        raise Nasty
    if kind == "exit":
        raise SystemExit(3)
    _chained(kind)


def _chained(kind: str) -> None:
    try:
        int("text")
    except ValueError as error:
        raise KeyError(kind) from error


@task
def kind_of(x):
    return type(x).__name__, str(x)


def _error_of(kind: str, verb: str) -> Any:
    @flow(name="failing")
    def failing():
        if verb == "call":
            raises(kind)
        elif verb == "submit":
            raises.submit(kind).result()
        else:
            raises.map([kind]).result()

    return failing(return_state=True).result(raise_on_failure=False)


@pytest.mark.parametrize("verb", ["call", "submit", "map"])
def test_exceptions_keep_their_types_and_what_they_hold(verb: str) -> None:
    error = _error_of("record", verb)
    assert type(error) is NoSuchRecord
    assert (error.table, error.key, str(error)) == ("users", 7, "no 7 in users")
    keywords = _error_of("keywords", verb)
    assert type(keywords) is WithKeywords
    assert (keywords.code, str(keywords)) == (5, "code 5")
    group = _error_of("group", verb)
    assert type(group) is ExceptionGroup
    assert [type(each) for each in group.exceptions] == [ValueError, NoSuchRecord]


@pytest.mark.parametrize("verb", ["call", "submit", "map"])
def test_exceptions_that_are_hard_to_send(verb: str) -> None:
    holds = _error_of("lambda", verb)
    assert type(holds).__name__ == "HoldsALambda"
    assert "holds a function" in str(holds)
    assert "Nasty" in type(_error_of("nasty", verb)).__name__


@pytest.mark.parametrize("verb", ["call", "submit", "map"])
def test_tracebacks_show_the_users_lines_and_none_of_ours_below(verb: str) -> None:
    error = _error_of("chained", verb)
    assert type(error) is KeyError
    assert isinstance(error.__cause__, ValueError)
    text = "".join(traceback.format_exception(error))
    assert "_chained(kind)" in text
    assert 'int("text")' in text
    assert "raise KeyError(kind) from error" in text
    frames = traceback.extract_tb(error.__traceback__)
    assert [frame.name for frame in frames][-2:] == ["raises", "_chained"]
    assert "carry_out" not in text


def test_the_store_has_exception_and_traceback() -> None:
    @flow(name="kept")
    def kept():
        raises.map(["record"]).wait()

    kept(return_state=True)
    element = run_of(kept).element("raises-0", 0)
    assert type(element.exception).__name__ == "NoSuchRecord"
    assert 'raise NoSuchRecord("users", 7)' in (element.traceback or "")
    (failure,) = run_of(kept).failures()
    assert failure.name == "raises-0[0]"
    assert failure.exception_type == "tests.runners.test_semantics_failures.NoSuchRecord"
    said = "tests.runners.test_semantics_failures.NoSuchRecord: no 7 in users"
    assert failure.message == f"Task run encountered an exception {said}"


@flow
def allows_own_types():
    failed = [raises.submit("record"), raises.submit("keywords")]
    return kind_of.map(allow_failure(failed)), kind_of.submit(allow_failure(failed[0]))


def test_allow_failure_sends_exceptions_of_own_types() -> None:
    assert allows_own_types() == (
        [("NoSuchRecord", "no 7 in users"), ("WithKeywords", "code 5")],
        ("NoSuchRecord", "no 7 in users"),
    )


@task
def one_bad(x):
    if x == 13:
        raise ValueError("unlucky")
    return (lambda: x) if x == 17 else x


@flow
def fails_alone():
    futures = one_bad.map(range(40))
    futures.wait()
    return [n for n, state in enumerate(futures.states()) if not state.is_completed()]


def test_an_element_fails_alone() -> None:
    assert fails_alone() == [13]
    counts = counts_of(fails_alone)["one_bad-0"]
    assert counts == {"Completed": 39, "Failed": 1}


@task
def unpicklable(x):
    return (n for n in range(x)) if x == 2 else x


@flow
def unpicklable_result():
    futures = unpicklable.map(range(5))
    return futures.result(raise_on_failure=False)


def test_a_result_that_cannot_be_sent_fails_its_element_only(shares_objects: bool) -> None:
    values = unpicklable_result()
    assert [values[n] for n in (0, 1, 3, 4)] == [0, 1, 3, 4]
    if not shares_objects:
        assert isinstance(values[2], TransferError)
        assert "'unpicklable'" in str(values[2])


def test_a_function_that_cannot_be_sent(shares_objects: bool) -> None:
    import threading

    lock = threading.Lock()

    @task
    def locked(x):
        with lock:
            return x

    @flow(name="locking")
    def locking():
        return locked.submit(1).result(raise_on_failure=False)

    if shares_objects:
        assert locking() == 1
        return
    error = locking()
    assert isinstance(error, TransferError)
    assert "'locked'" in str(error)
    assert "lock" in str(error)


@task
def exits(code):
    raise SystemExit(code)


@flow
def exiting():
    future = exits.submit(3)
    good = kind_of.submit(1)
    assert isinstance(future.result(raise_on_failure=False), (SystemExit, Exception))
    return good, future.state.is_failed() or future.state.is_crashed()


def test_sys_exit_in_a_task_ends_the_task_only() -> None:
    _, is_bad = exiting(return_state=True).result()
    assert is_bad


# --- states that tasks return --------------------------------------------------------------------


@task
def returns(kind):
    return {
        "completed": lambda: Completed(message="fine", data=1),
        "cached": lambda: Cached(data=2),
        "named": lambda: Completed(name="Half", data=3),
        "failed": lambda: Failed(message="not good"),
        "failed with": lambda: Failed(data=KeyError("k")),
        "crashed": lambda: Crashed(message="gone"),
    }[kind]()


@flow
def returned_states():
    kinds = ["completed", "cached", "named", "failed", "failed with", "crashed"]
    futures = [returns.submit(kind) for kind in kinds] + list(returns.map(kinds))
    called = [returns(kind, return_state=True) for kind in kinds]
    states = [future.state for future in futures if future.wait() is None] + called
    return [(s.type.value, s.name, s.message) for s in states], [
        repr(state.result(raise_on_failure=False)) for state in states
    ]


def test_a_state_that_a_task_returns_counts() -> None:
    states, values = returned_states(return_state=True).data
    assert states[:6] == states[6:12] == states[12:]
    assert states[:6] == [
        ("COMPLETED", "Completed", "fine"),
        ("COMPLETED", "Cached", None),
        ("COMPLETED", "Half", None),
        ("FAILED", "Failed", "not good"),
        ("FAILED", "Failed", None),
        ("CRASHED", "Crashed", "gone"),
    ]
    assert values[:3] == ["1", "2", "3"]
    assert values[4] == "KeyError('k')"
    assert "not good" in values[3]
    assert "gone" in values[5]
    assert FailedRun.__name__ in values[3]
    assert CrashedRun.__name__ in values[5]
    stored = run_of(returned_states)
    kept = [stored.element(f"returns-{n}").state for n in range(6)]
    assert [(s.type.value, s.name) for s in kept] == [state[:2] for state in states[:6]]
    assert [s.message for s in kept][:4] == ["fine", None, None, "not good"]


@task(retries=1)
def failed_once():
    return Failed(message="again") if runtime.task_run.run_count == 1 else 5


@task(retries=1)
async def failed_once_async():
    return Failed(message="again") if runtime.task_run.run_count == 1 else 5


@flow
def retries_states():
    return failed_once.submit(), failed_once(), failed_once_async.submit(), failed_once_async()


def test_a_returned_failed_state_triggers_retries() -> None:
    assert retries_states() == (5, 5, 5, 5)
    for attempts in (run_of(retries_states).element(node).attempts for node in range(4)):
        assert [attempt.state.name for attempt in attempts] == ["Failed", "Completed"]
        assert all(attempt.started_ns <= attempt.ended_ns for attempt in attempts)


@task
def runs_after():
    return "ran"


@flow
def waits_for_failures():
    failed = raises.submit("record")
    skipped = runs_after.submit(wait_for=[failed])
    also = runs_after.submit(wait_for=[skipped])
    allowed = runs_after.submit(wait_for=[allow_failure(raises.submit("record"))])
    for future in (failed, skipped, also, allowed):
        future.wait()
    return [future.state.name for future in (failed, skipped, also, allowed)]


def test_what_only_waits_for_a_failure_does_not_run_either() -> None:
    assert waits_for_failures() == ["Failed", "NotReady", "NotReady", "Completed"]
