"""Values have the same text wherever it is made, and different values different texts."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import os
import random
import re
import subprocess
import sys
import threading
import uuid
from pathlib import Path, PurePosixPath

import attrs
import numpy
import pandas
import pyarrow
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.hashing.encoding import Unhashable
from dataflow.hashing.values import text_of

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
)
KEYS = st.one_of(st.integers(), st.text(), st.binary(), st.dates(), st.tuples(st.integers()))
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner),
        st.sets(KEYS),
        st.frozensets(KEYS),
    ),
    max_leaves=25,
)


def shuffled(value, order):
    """The same value, its dicts and sets filled in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, order)) for key, item in value.items()]
        order.shuffle(items)
        return dict(items)
    if isinstance(value, (set, frozenset)):
        items = list(value)
        order.shuffle(items)
        return type(value)(items)
    if isinstance(value, (list, tuple)):
        return type(value)(shuffled(item, order) for item in value)
    return value


@given(VALUES, st.randoms())
def test_the_order_of_dicts_and_sets_does_not_count(value, order):
    assert text_of(shuffled(value, order)) == text_of(value)


@given(VALUES, VALUES)
def test_equal_texts_mean_equal_values(one, other):
    if text_of(one) == text_of(other):
        assert one == other


@given(st.lists(st.integers()), st.integers())
def test_what_is_put_in_counts(values, more):
    assert text_of(values) != text_of([*values, more])
    assert text_of(values) != text_of(tuple(values))


def test_values_that_are_equal_but_not_the_same_differ():
    kinds = [1, 1.0, True, "1", b"1", decimal.Decimal(1), fractions.Fraction(1), [1], (1,), {1}]
    kinds += [
        {1: 1},
        frozenset({1}),
        numpy.int64(1),
        numpy.float64(1),
        range(1),
        PurePosixPath("1"),
    ]
    kinds += [-0.0, 0.0, "", b"", None, [], (), {}, set()]
    assert len(set(map(text_of, kinds))) == len(kinds)


PROGRAM = """
import datetime, sys
from tests.hashing.test_values import samples
from dataflow.hashing.values import source_of, text_of
for sample in samples():
    print(text_of(sample))
"""


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    labels: set[str]


@attrs.define
class Made:
    x: int


class Model(pydantic.BaseModel):
    name: str
    tags: set[str] = set()


class Plain:
    def __init__(self, x):
        self.x = x
        self.names = {"b", "a"}


class WithSlots:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


class Counted(dict):
    pass


Pair = collections.namedtuple("Pair", "one two")


def helper(x, factor=2):
    return x * factor


def samples():
    return [
        {"b", "a", "c"},
        {"b": 1, "a": [2, {"d", "e"}]},
        Point(1, {"x", "y"}),
        Made(2),
        Model(name="n", tags={"p", "q"}),
        Plain(3),
        WithSlots(4),
        Pair(1, 2),
        Counted(a=1),
        collections.OrderedDict(a=1),
        collections.Counter("aab"),
        collections.deque([1, 2]),
        Colour.RED,
        Plain,
        helper,
        functools.partial(helper, factor=3),
        len,
        re.compile("a+"),
        Path("/tmp/x"),
        uuid.UUID(int=7),
        datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC),
        numpy.arange(6).reshape(2, 3),
        numpy.array(["a", None], dtype=object),
        pandas.DataFrame({"x": [1, 2], "y": ["a", None], "z": pandas.Categorical(["u", "v"])}),
        pandas.Series([1.5], index=["i"], name="s"),
        pandas.DataFrame(
            {
                "i": pandas.array([1, None], dtype="Int64"),
                "t": pandas.to_datetime(["2013-01-01", None]).tz_localize("Europe/Paris"),
                "p": pandas.period_range("2013-01", periods=2, freq="M"),
                "o": pandas.Series([{"b", "a"}, None], dtype=object),
                "a": pandas.array(["a", None], dtype=pandas.ArrowDtype(pyarrow.string())),
            }
        ),
        numpy.ma.masked_array([1, 2], [False, True]),
        numpy.float64(1.5),
        pyarrow.table({"x": [1, None]}),
        pyarrow.table({"d": pyarrow.array(["b", "a", None]).dictionary_encode()}),
        pyarrow.array([{"a": [1], "b": "x"}, None]),
        random.Random(5),
        os,
    ]


def test_texts_are_the_same_in_processes_with_other_hash_seeds():
    texts = []
    for seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        shown = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        texts.append(shown.stdout.splitlines())
    assert texts[0] == texts[1] == [line for s in samples() for line in text_of(s).splitlines()]


def test_samples_have_texts_of_their_own():
    assert len(set(map(text_of, samples()))) == len(samples())


def test_what_has_changed_has_another_text():
    for one, other in (
        (Point(1, {"x"}), Point(1, {"y"})),
        (Plain(1), Plain(2)),
        (WithSlots(1), WithSlots(2)),
        (Model(name="a"), Model(name="b")),
        (Made(1), Made(2)),
        (Pair(1, 2), (1, 2)),
        (random.Random(1), random.Random(2)),
    ):
        assert text_of(one) != text_of(other)


def test_circles_end():
    one: list = [1]
    one.append(one)
    other: list = [1]
    other.append(other)
    assert text_of(one) == text_of(other)


def test_large_numbers_and_texts():
    assert text_of(10**5000) != text_of(10**5000 + 1)
    assert text_of([10**5000]) != text_of([10**5000 + 1])
    assert text_of("a" * 10_000) != text_of("a" * 9_999 + "b")
    assert text_of("\ud800") != text_of("?")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (threading.Lock(), "lock object"),
        ({"a": [threading.Lock()]}, r"lock object at \['a'\]\[0\]"),
        (Plain(threading.Lock()), r"lock object at \.x"),
        (Point(sys.stdout, set()), r"at \.x"),
        ((x for x in ()), "generator object"),
    ],
)
def test_what_cannot_be_hashed_is_found_and_named(value, said):
    with pytest.raises(Unhashable) as caught:
        text_of(value)
    assert re.search(said, str(caught.value))
