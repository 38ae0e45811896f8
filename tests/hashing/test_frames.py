"""Pandas content has one text, however it is stored, and other content another one."""

from __future__ import annotations

import math
import threading

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.hashing.encoding import Unhashable
from dataflow.hashing.values import text_of

TEXTS = ["a", "é", ""]
ZONED = [pandas.Timestamp("2013-03-31 03:00", tz="Europe/Paris")]
KINDS = {
    "int64": [0, 1, -1],
    "float64": [0.0, -0.0, 1.5, math.nan],
    "bool": [True, False],
    "object": ["a", "b", None, math.nan, 1],
    "Int64": [0, 1, None],
    "UInt8": [0, 255, None],
    "Float32": [0.0, -0.0, None],
    "boolean": [True, False, None],
    "str": [*TEXTS, None],
    "string[python]": [*TEXTS, None],
    "string[pyarrow]": [*TEXTS, None],
    "category": [*TEXTS, None],
    "datetime64[ns]": [*pandas.to_datetime(["2013-01-01", "2013-01-02"]), None],
    "datetime64[s, Europe/Paris]": [*ZONED, None],
    "datetime64[us, UTC]": [*ZONED, None],
    "timedelta64[ms]": [pandas.Timedelta(1, "s"), None],
    "period[M]": [pandas.Period("2013-01", "M"), pandas.Period("2013-02", "M"), None],
    "interval[int64, right]": [pandas.Interval(0, 1), pandas.Interval(1, 2)],
    "Sparse[float64]": [0.0, -0.0, 1.5, math.nan],
    "int64[pyarrow]": [0, 1, None],
    "double[pyarrow]": [0.0, -0.0, 1.5, None],
}


def series(kind, values):
    return pandas.Series(values, dtype=kind, index=range(len(values)))


@st.composite
def columns(draw, count=2):
    kind = draw(st.sampled_from(sorted(KINDS)))
    values = st.lists(st.sampled_from(KINDS[kind]), min_size=1, max_size=20)
    return [series(kind, draw(values)) for _ in range(count)]


@given(columns(), st.data())
def test_layouts_do_not_count(pair, data):
    column, other = pair
    expected = text_of(column)
    cut = data.draw(st.integers(0, len(column)))
    if column.dtype != "category":  # joined, they have other categories
        around = pandas.concat([other, column, other], ignore_index=True)
        within = around.iloc[len(other) : len(other) + len(column)].reset_index(drop=True)
        assert within.dtype == column.dtype
        assert text_of(within) == expected
    joined = pandas.concat([column.iloc[:cut], column.iloc[cut:]])
    assert text_of(joined) == expected
    assert text_of(column.iloc[::-1].iloc[::-1]) == expected
    assert text_of(column.take(range(len(column)))) == expected
    assert text_of(column.to_frame("x")) == text_of(pandas.DataFrame({"x": joined}))
    as_index = pandas.Index(column)
    assert text_of(as_index) == text_of(pandas.Index(joined))


@given(columns())
def test_other_values_have_other_texts(pair):
    one, other = pair
    same = one.dtype == other.dtype and repr(one.tolist()) == repr(other.tolist())
    if one.dtype != "category":  # other categories: other values
        assert (text_of(one) == text_of(other)) is same
    assert text_of(one) != text_of(pandas.concat([one, other]))


def test_types_count():
    empty = [pandas.Series([], dtype=kind) for kind in KINDS]
    made = [pandas.Series([None] * 2, dtype=kind) for kind in ("str", "Int64", "Float64", "Int32")]
    made += [pandas.Series([value] * 2, dtype=object) for value in (None, math.nan, pandas.NA)]
    made += [pandas.Series([math.nan] * 2), pandas.Series([pandas.NaT] * 2)]
    assert len(set(map(text_of, empty))) == len(empty)
    assert len(set(map(text_of, made))) == len(made)


def test_what_lies_under_missing_values_does_not_count():
    mask = numpy.array([False, True])
    for kind, one, other in (
        (pandas.arrays.IntegerArray, [1, 2], [1, 3]),
        (pandas.arrays.FloatingArray, [1.0, 2.0], [1.0, math.nan]),
        (pandas.arrays.BooleanArray, [True, False], [True, True]),
    ):
        texts = [text_of(pandas.Series(kind(numpy.array(each), mask))) for each in (one, other)]
        assert texts[0] == texts[1]
        assert text_of(pandas.Series(kind(numpy.array(one), ~mask))) != texts[0]


def test_missing_is_not_the_same_as_not_a_number():
    missing, number = (
        pandas.Series(
            pandas.arrays.FloatingArray(numpy.array([math.nan]), numpy.array([is_missing]))
        )
        for is_missing in (True, False)
    )
    assert text_of(missing) != text_of(number)


def test_times_far_away_do_not_wrap():
    """In nanoseconds, these are the same 64 bits."""
    assert (2**61 * 1000) % 2**64 == 0
    one, other = (
        pandas.Series(numpy.array([at], "M8[us]")).dt.tz_localize("UTC") for at in (0, 2**61)
    )
    assert text_of(one) != text_of(other)
    assert text_of(pandas.Index(one)) != text_of(pandas.Index(other))


def test_units_and_zones_of_times_count():
    one = pandas.Series(numpy.array([0], "M8[s]"))
    kinds = [one.astype(f"M8[{unit}]") for unit in ("s", "ms", "us", "ns")]
    kinds += [each.dt.tz_localize(zone) for each in kinds for zone in ("UTC", "Europe/London")]
    assert len(set(map(text_of, kinds))) == len(kinds)


def test_of_sparse_values_only_the_values_count():
    values = numpy.array([0.0, 1.5, 0.0, -0.0, math.nan])
    sparse = pandas.arrays.SparseArray(values, fill_value=0.0)
    explicit = pandas.arrays.SparseArray([7.0, *values[1:]], fill_value=0.0)
    explicit.sp_values[0] = 0.0
    assert explicit.sp_index.npoints > sparse.sp_index.npoints
    assert text_of(pandas.Series(sparse)) == text_of(pandas.Series(explicit))
    blocks = pandas.arrays.SparseArray(values, fill_value=0.0, kind="block")
    assert text_of(pandas.Series(blocks)) == text_of(pandas.Series(sparse))
    others = [sparse[:4], sparse[::-1], values]
    others += [pandas.arrays.SparseArray(values, fill_value=gap) for gap in (math.nan, 9.0)]
    texts = {text_of(pandas.Series(each)) for each in (sparse, *others)}
    assert len(texts) == len(others) + 1


def test_categories_count_with_their_order():
    made = [
        pandas.Categorical(["a", "b"], categories=["a", "b"]),
        pandas.Categorical(["a", "b"], categories=["b", "a"]),
        pandas.Categorical(["a", "b"], categories=["a", "b", "c"]),
        pandas.Categorical(["a", "b"], categories=["a", "b"], ordered=True),
        pandas.Categorical([1, 2], categories=[1, 2]),
    ]
    assert len({text_of(pandas.Series(each)) for each in made}) == len(made)
    assert len({*map(text_of, made)}) == len(made)


def test_frames_count_by_columns_index_and_types():
    frame = pandas.DataFrame({"x": [1, 2], "y": ["a", None]})
    assert text_of(frame) == text_of(frame.copy())
    assert text_of(frame) == text_of(frame.iloc[[1, 0]].iloc[[1, 0]].reset_index(drop=True))
    noted = frame.copy()
    noted.attrs["unit"] = "m"
    others = [
        frame.rename(columns={"x": "z"}),
        frame.rename_axis("i"),
        frame.rename_axis("c", axis=1),
        frame.astype({"x": "f8"}),
        frame.iloc[::-1],
        frame.set_index("x"),
        frame[["y", "x"]],
        frame[["x"]],
        frame["x"],
        frame["x"].rename("z"),
        frame["x"].array,
        frame.index,
        frame.columns,
        frame.iloc[:0],
        frame.assign(y=["a", "b"]),
        frame.assign(x=pandas.array([1, None], dtype="Int64")),
        frame.assign(x=pandas.to_datetime(["2013-01-01", "2013-01-02"], utc=True)),
        frame.set_index(["x", "y"]),
        noted,
    ]
    assert len({text_of(each) for each in (frame, *others)}) == len(others) + 1


@given(st.integers(-3, 3), st.sampled_from([-2, -1, 1, 3]), st.integers(0, 5), st.integers(0, 5))
def test_an_even_index_is_a_range_whether_it_is_written_down_or_not(start, step, count, changed):
    values = range(start, start + step * count, step)
    frame = pandas.DataFrame({"x": [1.5] * count}, index=pandas.RangeIndex(values))
    written = frame.set_axis(pandas.Index(list(values), dtype="int64"))
    assert not isinstance(written.index, pandas.RangeIndex)
    assert text_of(frame) == text_of(written)
    if changed < count:
        other = list(values)
        other[changed] += 100
        assert text_of(frame.set_axis(pandas.Index(other, dtype="int64"))) != text_of(frame)


def test_an_index_that_overflows_is_not_even():
    far = pandas.Index(numpy.array([-(2**63), 2**63 - 1, -(2**63)]))
    assert text_of(far) != text_of(pandas.Index(numpy.array([-(2**63), -(2**63), -(2**63)])))


def test_the_frequency_of_an_index_counts():
    days = pandas.date_range("2013-01-01", periods=3)
    assert text_of(days) != text_of(pandas.DatetimeIndex(list(days)))


def test_many_levels_count_by_their_values():
    index = pandas.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 2)], names=["x", "y"])
    again = pandas.MultiIndex.from_tuples([("c", 1), *index], names=["x", "y"])[1:]
    assert list(again.levels[0]) != list(index.levels[0])
    assert text_of(again) == text_of(index)
    others = [index.rename(["x", "z"]), index[::-1], index.droplevel(0), index.swaplevel()]
    assert len({text_of(each) for each in (index, *others)}) == len(others) + 1


def test_short_columns_of_numbers_count_one_by_one():
    numbers = numpy.arange(12.0).reshape(3, 4)
    frame = pandas.DataFrame(numbers, columns=list("abcd"))
    by_columns = pandas.DataFrame({name: frame[name].to_numpy().copy() for name in frame})
    assert text_of(frame) == text_of(by_columns)
    assert text_of(frame) != text_of(frame.assign(d=0.0))
    assert text_of(frame) != text_of(frame.astype({"d": "f4"}))
    assert text_of(pandas.DataFrame(index=[5, 7])) != text_of(pandas.DataFrame(index=[5, 8]))


class Measured(pandas.DataFrame):
    _metadata = ["unit"]

    @property
    def _constructor(self):
        return Measured


def test_what_a_class_of_frames_adds_counts():
    texts = {text_of(pandas.DataFrame({"x": [1]}))}
    for unit in ("m", "km"):
        frame = Measured({"x": [1]})
        frame.unit = unit
        texts.add(text_of(frame))
    assert len(texts) == 3


def test_chunks_of_arrow_do_not_count():
    chunks = pyarrow.chunked_array([["a", None], ["b"]])
    for kind in (pandas.arrays.ArrowExtensionArray, lambda each: pandas.array(each, dtype="str")):
        one, other = (pandas.Series(kind(each)) for each in (chunks, chunks.combine_chunks()))
        assert text_of(one) == text_of(other)


def test_what_cannot_be_hashed_is_found_in_its_column():
    frame = pandas.DataFrame({"x": [1, 2], "y": [1, threading.Lock()]})
    with pytest.raises(Unhashable, match=r"lock object at \['y'\]\[1\]"):
        text_of(frame)
