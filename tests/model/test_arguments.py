"""Looking inside arguments for futures."""

from __future__ import annotations

import collections
import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from dataflow.model.annotations import quote, unmapped
from dataflow.model.arguments import rebuild

QUICK = settings(max_examples=50, deadline=None)


class Mark:
    """Stands for a future."""

    def __init__(self, value: Any) -> None:
        self.value = value


def put(value: Any) -> Any:
    return rebuild(value, (Mark,), lambda mark: mark.value)


def plain(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner)
        | st.sets(st.integers())
    )


atoms = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
plain_values = st.recursive(atoms, plain, max_leaves=15)
values = st.recursive(atoms | atoms.map(Mark), plain, max_leaves=15)


def expected(value: Any) -> Any:
    if isinstance(value, Mark):
        return value.value
    if type(value) in (list, tuple):
        return type(value)(map(expected, value))
    if type(value) is dict:
        return {key: expected(item) for key, item in value.items()}
    return value


def holds_mark(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(map(holds_mark, value))
    return isinstance(value, Mark)


@QUICK
@given(values)
def test_marks_are_replaced_wherever_they_are(value):
    found = put(value)
    assert found == expected(value)
    assert not holds_mark(found)


@QUICK
@given(values)
def test_the_given_containers_are_never_changed(value):
    before = repr(value)
    put(value)
    assert repr(value) == before


@QUICK
@given(plain_values)
def test_without_marks_it_is_the_same_object(value):
    assert put(value) is value


def test_only_what_holds_marks_is_rebuilt():
    kept = [1, [2]]
    found = put([kept, Mark(3)])
    assert found == [kept, 3]
    assert found[0] is kept


class Pair(NamedTuple):
    a: Any
    b: Any


OldPair = namedtuple("OldPair", "a b")


@dataclasses.dataclass
class Data:
    a: Any
    b: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: Any
    b: Any = None


@attrs.define
class Attrs:
    a: Any
    b: Any = None


@attrs.frozen
class FrozenAttrs:
    a: Any
    b: Any = None


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    a: Any
    b: Any = None


class FrozenModel(Model):
    model_config = ConfigDict(frozen=True)


@pytest.mark.parametrize(
    "kind", [Pair, OldPair, Data, Frozen, Attrs, FrozenAttrs, Model, FrozenModel]
)
def test_classes_with_fields(kind):
    value = kind(a=Mark(1), b=[Mark(2)])
    found = put(value)
    assert type(found) is kind
    assert found == kind(a=1, b=[2])
    assert isinstance(value.a, Mark)
    untouched = kind(a=1, b=[2])
    assert put(untouched) is untouched


class Names(list):
    label = "x"


class Grades(dict):
    pass


class Couple(tuple):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Names([Mark(1)]),
        OrderedDict(a=Mark(1)),
        Grades(a=Mark(1)),
        Couple([Mark(1)]),
        {Mark(1), 2},
        frozenset([Mark(1)]),
        {Mark("k"): Mark("v")},
    ],
    ids=lambda value: type(value).__name__,
)
def test_types_are_kept(value):
    found = put(value)
    assert type(found) is type(value)
    assert not any(isinstance(item, Mark) for item in found)


def test_what_subclasses_know_is_kept():
    items = Names([Mark(1)])
    items.label = "mine"
    assert put(items).label == "mine"
    table: dict[str, Any] = defaultdict(list, a=Mark(1))
    assert put(table)["new"] == []
    counter = collections.Counter({Mark("a"): 2})
    assert put(counter) == collections.Counter(a=2)


@pytest.mark.parametrize("make", [lambda m: deque([m]), lambda m: iter([m]), lambda m: object()])
def test_nothing_else_is_looked_into(make):
    value = make(Mark(1))
    assert put(value) is value


def test_generators_are_not_used_up():
    items = (n for n in range(3))
    assert put([items, Mark(1)])[0] is items
    assert list(items) == [0, 1, 2]


def test_marks_of_arguments_are_not_looked_into():
    value = quote([Mark(1)])
    assert put(value) is value
    assert put(unmapped(Mark(1))).value.value == 1


def test_a_container_that_holds_itself():
    loop: list[Any] = [1]
    loop.append(loop)
    assert put(loop) is loop
    table: dict[str, Any] = {"mark": Mark(1)}
    table["self"] = table
    found = put(table)
    assert found["mark"] == 1
    assert found["self"] is table


def test_the_same_container_twice_is_no_circle():
    shared = [Mark(1)]
    assert put([shared, shared]) == [[1], [1]]


def test_deeply_nested():
    value: Any = Mark(1)
    for _ in range(100):
        value = [value]
    found = put(value)
    for _ in range(100):
        (found,) = found
    assert found == 1


def test_a_class_is_no_instance_of_itself():
    for value in (Data, Pair, Model, Attrs):
        assert put(value) is value
        assert put([value, Mark(1)]) == [value, 1]


def test_errors_of_the_replacement_are_passed_on():
    def fail(mark: Any) -> Any:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        rebuild([{"a": Mark(1)}], (Mark,), fail)
