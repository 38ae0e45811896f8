"""Semantics, maps: what is mapped over, lengths, and that each element waits for its own."""

from __future__ import annotations

import time

import pytest

from dataflow import flow, quote, task, unmapped
from dataflow.errors import MappingLengthMismatch, MappingMissingIterable, UpstreamTaskError
from tests.runners.conftest import every_batch_size
from tests.runners.stored import counts_of, run_of

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


@flow
def length_errors():
    with pytest.raises(MappingLengthMismatch, match=r"x: 2, y: 3"):
        add.map([1, 2], [1, 2, 3])
    with pytest.raises(MappingLengthMismatch, match=r"x: 2, y: 1"):
        add.map(double.map([1, 2]), y=range(1))
    for nothing in (5, "text", b"bytes", {"a": 1}, unmapped([1]), None, quote([1])):
        with pytest.raises(MappingMissingIterable, match="unmapped"):
            double.map(nothing)
    return "each was refused"


def test_lengths_that_differ_and_nothing_to_map() -> None:
    assert length_errors() == "each was refused"
    assert counts_of(length_errors).keys() == {"double-0"}


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
    assert counts_of(late_length_errors) == {
        "same-0": {"Completed": 1},
        "add-0": {"Failed": 1},
        "same-1": {"Completed": 1},
        "double-0": {"Failed": 1},
        "double-1": {"NotReady": 1},
    }
    (node,) = (node for node in run_of(late_length_errors).nodes() if node.name == "add-0")
    assert node.length is None
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


# --- elements wait for their own -----------------------------------------------------------------


@task
def count(values):
    return len(values)


@task
def slow(x):
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
