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
    unmapped,
)
from dataflow.errors import (
    DefinitionError,
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    ReservedArgumentError,
    RunFinishedError,
    UpstreamTaskError,
)
from tests.runners.stored import run_of

pytestmark = pytest.mark.usefixtures("runner")


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
    assert _gate.wait(20)
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


# --- maps ----------------------------------------------------------------------------------------


@flow
def length_errors():
    with pytest.raises(MappingLengthMismatch, match=r"x: 2, y: 3"):
        add.map([1, 2], [1, 2, 3])
    with pytest.raises(MappingLengthMismatch, match=r"x: 2, y: 1"):
        add.map(double.map([1, 2]), y=range(1))
    for nothing in (5, "text", b"bytes", {"a": 1}, unmapped([1]), None, quote([1])):
        with pytest.raises(MappingMissingIterable, match="unmapped"):
            double.map(nothing)


def test_lengths_that_differ_and_nothing_to_map() -> None:
    length_errors()


@flow
def late_length_errors():
    known = same.submit([1, 2])
    differing = add.map(known, [1, 2, 3])
    number = double.map(same.submit(5))
    found = []
    for futures in (differing, number):
        with pytest.raises((MappingLengthMismatch, MappingMissingIterable)) as caught:
            futures.result()
        found.append(str(caught.value))
    depends = double.map(differing)
    with pytest.raises(UpstreamTaskError, match="add-0"):
        depends.result()
    return found


def test_lengths_that_turn_out_to_differ() -> None:
    differing, number = late_length_errors()
    assert "x: 2" in differing
    assert "y: 3" in differing
    assert "'double'" in number
    assert "'x'" in number


@flow
def empty_maps():
    empty = double.map([])
    assert len(empty) == 0
    assert empty.result() == []
    assert list(empty) == []
    state = double.map([], return_state=True)
    later = double.map(same.submit([]))
    chained = double.map(double.map([]))
    return empty, state, later, chained, same.submit(chained)


def test_a_map_over_nothing_is_an_empty_list() -> None:
    assert empty_maps() == ([], [], [], [], [])
    assert run_of(empty_maps).state.is_completed()


@flow
def broadcast_by_type():
    return (
        add.map(["a", "b"], "xy"),
        kind_of.map({1, 2}),
        same.map([{"k": 1}, {"k": 2}]),
        collect.map([1, 2], a=[3, 4], b="text", c={"k": [1]}, d=unmapped([5])),
        defaulted.map([1, 2]),
        double.map(x=[1, 2]),
    )


@task
def collect(x, **kwargs):
    return x, kwargs


@task
def defaulted(x, many=(1, 2, 3)):
    return x, many


def test_what_is_mapped_and_what_is_broadcast() -> None:
    rest = {"b": "text", "c": {"k": [1]}, "d": [5]}
    assert broadcast_by_type() == (
        ["axy", "bxy"],
        ["int", "int"],
        [{"k": 1}, {"k": 2}],
        [(1, {"a": 3, **rest}), (2, {"a": 4, **rest})],
        [(1, (1, 2, 3)), (2, (1, 2, 3))],
        [2, 4],
    )


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


# --- elements wait for their own -----------------------------------------------------------------


@task
def count(values):
    return len(values)


@task
def slow(x):
    import time

    time.sleep(0.1)
    return x


@flow
def mixed_elements():
    broken, good = fail.submit(1), double.submit(1)
    nested = count.map([[broken], [good, good], [], double.map([1, 2, 3])])
    mixed = double.map([broken, 5, good])
    names = [
        [state.name for state in futures.states()] for futures in (nested, mixed) if _wait(futures)
    ]
    return names, nested[1:].result(), mixed[1:].result()


def _wait(futures):
    futures.wait()
    return True


def test_an_element_fails_with_what_it_holds_and_no_other() -> None:
    assert mixed_elements() == (
        [["NotReady", "Completed", "Completed", "Completed"], ["NotReady", *["Completed"] * 2]],
        [2, 0, 3],
        [10, 4],
    )


@flow
def slices_and_copies():
    futures = double.map(range(4))
    row = [double.submit(5), 1]
    return (
        count.map([futures[:1], futures[1:]]),
        same.map([row] * 3),
        same.map([double.map([]), futures[:1]]),
        same.map([[], [futures[0]]]),
    )


def test_lists_of_lists_of_futures() -> None:
    assert slices_and_copies() == ([1, 3], [[10, 1]] * 3, [[], [0]], [[], [0]])


@flow
def both_ways():
    late, quick = slow.submit(7), double.submit(1)
    mapped = slow.map(range(8))
    return (
        add.map([quick, late], unmapped(late)),
        total_of.map(mapped, unmapped(mapped)),
    )


@task
def total_of(x, values):
    return x + sum(values)


def test_an_input_that_is_mapped_over_and_given_whole() -> None:
    assert both_ways() == ([9, 14], [n + 28 for n in range(8)])


@flow
def branches():
    late = slow.submit(1)
    first = double.map(range(200))
    second = add.map(first, 1)
    third = add.map(first, 2, wait_for=late)
    del first
    second.wait()
    return second, third


def test_a_branch_that_begins_later_finds_its_values() -> None:
    assert branches() == ([2 * n + 1 for n in range(200)], [2 * n + 2 for n in range(200)])
