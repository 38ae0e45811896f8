"""Semantics, calls: bare call, submit and map; arguments, binding, marks; outside flows."""

from __future__ import annotations

import collections
import threading
from typing import Any

import pytest

from dataflow import (
    FutureList,
    TaskFuture,
    allow_failure,
    flow,
    quote,
    records,
    runtime,
    task,
)
from dataflow.errors import (
    DefinitionError,
    ParameterBindError,
    ReservedArgumentError,
    RunFinishedError,
    UpstreamTaskError,
)
from tests.runners.conftest import every_batch_size

pytestmark = [pytest.mark.usefixtures("runner"), every_batch_size]


@task
def double(x):
    return 2 * x


@task
def add(x, y=0):
    return x + y


@task
def same(x):
    return x


@task
def fail(x=0):
    raise ValueError(f"bad {x}")


@task
def kind_of(x):
    return type(x).__name__


# --- the three verbs -----------------------------------------------------------------------------


@task
def thread_name():
    return threading.current_thread().name


@flow
def where():
    return thread_name(), threading.current_thread().name


def test_a_bare_call_runs_in_this_thread() -> None:
    called, here = where()
    assert called == here


_gate = threading.Event()


@task
def waits():
    assert _gate.wait(60)
    return [1, 2]


@flow(task_runner="threads")
def never_blocks():
    _gate.clear()
    first = waits.submit()
    second = double.submit(first)
    third = add.map([1, 2], 3, wait_for=second)
    fourth = double.map(first)
    assert not first.done()
    assert isinstance(fourth, FutureList)
    assert isinstance(first, TaskFuture)
    _gate.set()
    return second, third, fourth


def test_submit_and_map_never_block_on_what_they_need() -> None:
    assert never_blocks() == ([1, 2, 1, 2], [4, 5], [2, 4])


def test_outside_flows_all_three_verbs_work_and_belong_to_an_implicit_run() -> None:
    futures = [double.submit(n) for n in range(3)]
    mapped = add.map(futures, 1)
    assert double(4) == 8
    assert [future.result() for future in futures] == [0, 2, 4]
    assert mapped.result() == [1, 3, 5]
    assert fail.submit(1).result(raise_on_failure=False).args == ("bad 1",)
    (run,) = records.runs(flow_name="implicit")  # a result that one has is in the store
    assert len(run.nodes()) == 6


# --- arguments -----------------------------------------------------------------------------------


class Names(list):  # type: ignore[type-arg]
    title = "none"


@flow
def containers():
    one = double.submit(1)
    default: collections.defaultdict[str, Any] = collections.defaultdict(list, a=one)
    ordered = collections.OrderedDict([("z", one), ("a", 2)])
    names = Names([one, 2])
    found = [same(value) for value in (default, ordered, names)]
    plain = {"a": [1, (2, 3)]}
    assert same(plain) is plain
    assert same([plain, None]) is not None
    return [(type(value).__name__, value) for value in found]


def test_rebuilt_containers_keep_their_types() -> None:
    assert containers() == [
        ("defaultdict", {"a": 2}),
        ("OrderedDict", {"z": 2, "a": 2}),
        ("Names", [2, 2]),
    ]


class Box:
    def __init__(self, inside: Any) -> None:
        self.inside = inside


@task
def look(box):
    return type(box.inside).__name__


@flow
def not_walked():
    one = double.submit(1)
    return look(Box(one)), kind_of(quote([one])), [type(x).__name__ for x in same(quote([one]))]


def test_other_objects_and_quoted_values_are_not_looked_into() -> None:
    assert not_walked() == ("TaskFuture", "list", ["TaskFuture"])


def test_a_future_inside_another_object_is_no_argument(shares_objects: bool) -> None:
    if shares_objects:
        return

    @flow(name="hidden")
    def hidden():
        return look.submit(Box(double.submit(1)))

    with pytest.raises(TypeError, match="future of task run 'double-0'"):
        hidden()


@flow
def allows():
    broken = fail.submit(1)
    skipped = double.submit(broken)
    some = [double.submit(1), broken]
    return (
        kind_of.submit(allow_failure(broken)),
        kind_of.submit(allow_failure(skipped)),
        kind_of.map(allow_failure(some)),
        kind_of.map(allow_failure(fail.map([1, 2]))),
        kinds.submit(allow_failure(some)),
        kinds.submit(x=allow_failure({"a": broken})),
        kind_of(allow_failure(broken)),
    )


@task
def kinds(x):
    return [type(item).__name__ for item in (x.values() if isinstance(x, dict) else x)]


def test_allow_failure_gives_the_exception() -> None:
    assert allows() == (
        "ValueError",
        "UpstreamTaskError",
        ["int", "ValueError"],
        ["ValueError", "ValueError"],
        ["int", "ValueError"],
        ["ValueError"],
        "ValueError",
    )


# --- what cannot be called -----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["__call__", "submit", "map"])
@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [(([1], 2, 3), {}, "too many"), ((), {}, "'x'"), (([1],), {"z": 2}, "'z'")],
)
def test_wrong_arguments_raise_at_the_call(
    verb: str, args: Any, kwargs: dict[str, Any], named: str
) -> None:
    @flow(name="bound")
    def bound():
        with pytest.raises(ParameterBindError, match=named) as caught:
            getattr(add, verb)(*args, **kwargs)
        assert isinstance(caught.value, TypeError)
        assert "'add'" in str(caught.value)

    bound()


def test_definitions_that_cannot_be() -> None:
    with pytest.raises(ReservedArgumentError, match="wait_for"):
        task(lambda wait_for: 1)
    with pytest.raises(ReservedArgumentError, match="return_state"):
        task(lambda return_state: 1)
    with pytest.raises(DefinitionError):
        task(5)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError):
        task(retriez=3)(lambda: 1)


# --- wait_for and runs that have ended -----------------------------------------------------------


@flow
def waits_for_a_failure():
    broken = fail.submit(1)
    blocked = double.submit(1, wait_for=[broken])
    mapped = double.map([1, 2], wait_for={"x": [broken]})
    with pytest.raises(UpstreamTaskError):
        double(1, wait_for=broken)
    blocked.wait()
    mapped.wait()
    return [blocked.state.name, *(state.name for state in mapped.states())]


def test_a_failed_wait_for_makes_the_task_not_ready() -> None:
    assert waits_for_a_failure() == ["NotReady"] * 3


def test_a_run_that_has_ended_takes_no_more_tasks() -> None:
    kept: list[Any] = []

    @flow(name="leaky")
    def leaky():
        import contextvars

        context = contextvars.copy_context()
        kept.append(lambda: context.run(double.submit, 1))

    leaky()
    with pytest.raises(RunFinishedError, match="'leaky'"):
        kept[0]()


@flow
def runs_by_itself():
    return runtime.flow_run.id


def test_runs_have_ids_of_their_own() -> None:
    first, second = runs_by_itself(), runs_by_itself()
    assert first != second
    assert {run.id for run in records.runs()} == {first, second}
