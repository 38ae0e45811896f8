"""What people really write, cases 4 to 7: futures in arguments, maps, unmapped, wait_for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest

from dataflow import FutureList, flow, task, unmapped
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
def numbers(count):
    return list(range(count))


# --- 4: futures at any depth ---------------------------------------------------------------------


@dataclass
class Job:
    name: str
    parts: list[Any] = field(default_factory=list)
    extra: Any = None


class Model(pydantic.BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    value: Any
    inner: dict[str, Any] = {}


@attrs.define
class Part:
    value: Any


class Pair(NamedTuple):
    left: Any
    right: Any


@flow
def nested():
    one, two = double.submit(1), double.submit(2)
    mapped = double.map([1, 2])
    sent = [
        [one, [two, None]],
        (one, "text", None),
        {"a": one, "b": {"c": [two]}},
        {one: "key"},
        {one, 5},
        frozenset({two}),
        Job("job", [one, {"deep": two}], extra=None),
        Model(value=one, inner={"x": [two]}),
        Part([one]),
        Pair(one, two),
        [mapped, one],
        {"all": mapped, "some": mapped[:1], "none": None},
    ]
    return [same.submit(value).result() for value in sent], [same(value) for value in sent]


def test_futures_are_found_at_any_depth() -> None:
    expected = [
        [2, [4, None]],
        (2, "text", None),
        {"a": 2, "b": {"c": [4]}},
        {2: "key"},
        {2, 5},
        frozenset({4}),
        Job("job", [2, {"deep": 4}]),
        Model(value=2, inner={"x": [4]}),
        Part([2]),
        Pair(2, 4),
        [[2, 4], 2],
        {"all": [2, 4], "some": [2], "none": None},
    ]
    submitted, called = nested()
    assert submitted == expected
    assert called == expected
    assert [type(value) for value in submitted] == [type(value) for value in expected]


@task
def describe(source=None):
    if isinstance(source, list):
        return sum(source)
    return source


@flow
def none_or_value_or_future(kind: str):
    source = None
    if kind == "value":
        source = 3
    elif kind == "future":
        source = double.submit(3)
    elif kind == "list":
        source = [double.submit(n) for n in range(3)]
    elif kind == "mapped":
        source = double.map(range(3))
    return describe.submit(source).result(), describe(source), describe.submit(source=source)


@pytest.mark.parametrize(
    ("kind", "expected"), [("", None), ("value", 3), ("future", 6), ("list", 6), ("mapped", 6)]
)
def test_an_argument_that_depends_on_an_if(kind: str, expected: Any) -> None:
    assert none_or_value_or_future(kind) == (expected, expected, expected)


# --- 5: what is mapped over ----------------------------------------------------------------------


def _generated():
    yield from (1, 2, 3)


@flow
def maps_over_everything():
    listed = numbers.submit(3)
    mapped = double.map([1, 2, 3])
    sources = [
        listed,
        [double.submit(n) for n in range(3)],
        mapped,
        mapped[1:],
        _generated(),
        range(3),
        (1, 2, 3),
        numbers(3),
        iter([1, 2]),
        [double.submit(1), 5],
    ]
    return [[int(x) for x in double.map(source).result()] for source in sources]


def test_map_over_everything_that_people_map_over() -> None:
    assert maps_over_everything() == [
        [0, 2, 4],
        [0, 4, 8],
        [4, 8, 12],
        [8, 12],
        [2, 4, 6],
        [0, 2, 4],
        [2, 4, 6],
        [0, 2, 4],
        [2, 4],
        [4, 10],
    ]


@flow
def list_of_futures():
    futures = double.map(range(3))
    assert isinstance(futures, FutureList)
    futures.extend(double.map([10]))
    futures.append(double.submit(20))
    futures += [double.submit(30)]
    both = futures + double.map([40])
    by_name = {"both": both, "first": both[0]}
    for _ in range(2):
        both = double.map(both)
    pairs = [(a.result(), b.result()) for a, b in zip(both, by_name["both"], strict=True)]
    return pairs, by_name["first"].result(), len(both), [f.result() for f in both if f.result() > 9]


def test_a_future_list_behaves_as_a_list() -> None:
    values = [0, 2, 4, 20, 40, 60, 80]
    pairs, first, length, big = list_of_futures()
    assert pairs == [(4 * value, value) for value in values]
    assert (first, length, big) == (0, 7, [16, 80, 160, 240, 320])


@flow
def chained_maps():
    a = double.map(range(100))
    b = add.map(a, y=unmapped(1))
    c = add.map(a, b)
    return add.map(c, c)


def test_maps_over_maps() -> None:
    assert chained_maps() == [2 * (2 * n + 2 * n + 1) for n in range(100)]


# --- 6: unmapped ---------------------------------------------------------------------------------


@flow
def broadcasts():
    future = double.submit(100)
    return (
        add.map([1, 2], unmapped(future)),
        add.map(unmapped([1]), [[2], [3]]),
        add.submit(unmapped(1), unmapped(future)),
        add(unmapped(1), 2),
    )


def test_unmapped_values_are_given_whole_to_each_element() -> None:
    assert broadcasts() == ([201, 202], [[1, 2], [1, 3]], 201, 3)


# --- 7: wait_for ---------------------------------------------------------------------------------


@task
def passes_on(*args, **kwargs):
    return args, kwargs


@flow
def waits_for_anything():
    first, second = double.submit(1), double.submit(2)
    mapped = double.map(range(3))
    value = double(5)
    for wait_for in (first, None, value, [first], [first, [second, None]], mapped, [mapped], "x"):
        same.submit(1, wait_for=wait_for)
        same.map([1, 2], wait_for=wait_for)
        assert same(1, wait_for=wait_for) == 1
    options: dict[str, Any] = {"wait_for": [first], "y": 3}
    assert passes_on(1, **options) == ((1,), {"y": 3})
    return passes_on.submit(1, **options).result(), passes_on.map([1], **options).result()


def test_wait_for_takes_any_nesting() -> None:
    assert waits_for_anything() == (((1,), {"y": 3}), [((1,), {"y": 3})])
    first = run_of(waits_for_anything).node("passes_on-1")
    assert first.order == (0,)


@flow
def waits_in_order():
    first = same.submit("first")
    second = same.map(["second"], wait_for=[first])
    same("third", wait_for=second)


def test_wait_for_orders_without_data() -> None:
    waits_in_order()
    run = run_of(waits_in_order)
    first, second, third = (run.element(number) for number in range(3))
    assert (first.ended_ns or 0) <= (second.started_ns or 0)
    assert (second.ended_ns or 0) <= (third.started_ns or 0)
    assert [node.upstream for node in run.nodes()] == [(), (), ()]
    assert [node.order for node in run.nodes()] == [(), (0,), (1,)]
