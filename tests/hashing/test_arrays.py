"""Numpy content has one text, however it lies in memory, and other content another one."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dataflow.hashing import arrays as hashing
from dataflow.hashing.encoding import Unhashable
from dataflow.hashing.values import text_of


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Arrays of some numbers have several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "BLOCK_BYTES", 32)
        yield


DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?"),
    arrays.complex_number_dtypes(endianness="?"),
    arrays.datetime64_dtypes(endianness="?"),
    arrays.unicode_string_dtypes(endianness="?", max_len=3),
    arrays.byte_string_dtypes(max_len=3),
    arrays.array_dtypes(min_size=1, max_size=2),
)
ARRAYS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_side=5)))


def swapped(dtype):
    return dtype.newbyteorder()


@given(ARRAYS)
def test_layouts_do_not_count(array):
    expected = text_of(array)
    spread = numpy.zeros([2 * side for side in array.shape], array.dtype)
    every_other = spread[(slice(1, None, 2),) * array.ndim]
    every_other[...] = array
    reversed_twice = numpy.flip(numpy.flip(array).copy())
    for same in (array.copy("F"), every_other, reversed_twice, array.astype(swapped(array.dtype))):
        assert text_of(same) == expected
    assert text_of(array.reshape(-1)) != expected or array.ndim == 1


@given(ARRAYS, st.data())
def test_other_values_have_other_texts(array, data):
    other = data.draw(arrays.arrays(array.dtype, array.shape))
    same = repr(array.tolist()) == repr(other.tolist())
    assert (text_of(array) == text_of(other)) is same


def test_types_and_shapes_count():
    array = numpy.arange(6)
    others: list[Any] = [
        array.astype(kind) for kind in ("u8", "i4", "f8", "c16", "M8[s]", "M8[ms]", "m8[s]")
    ]
    others += [array.reshape(2, 3), array.reshape(6, 1), array[:5], array[:0], array[:0, None]]
    others += [array.astype("M8[s]").astype(object), array.astype(object), array.astype("U2")]
    others += [array.astype(numpy.dtypes.StringDType()), array[0], array[:1].reshape(())]
    assert len({text_of(each) for each in (array, *others)}) == len(others) + 1


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "g", "c8", "c16", "G"])
def test_not_a_number_is_one_value_and_minus_zero_another(kind):
    dtype = numpy.dtype(kind)
    numbers = numpy.array([1, math.nan, 0], dtype)
    other = numbers.copy()
    other.real[1] = -other.real[1]
    assert bytes(other) != bytes(numbers)
    assert text_of(numbers) == text_of(other)
    assert text_of(numbers[1]) == text_of(other[1])
    other.real[2] = -other.real[2]
    assert text_of(numbers) != text_of(other)
    assert text_of(numpy.array([math.inf], dtype)) != text_of(numbers[1:2])


def test_what_is_no_part_of_a_number_does_not_count():
    one, other = (numpy.frombuffer(bytes([fill]) * 64, "u1").copy() for fill in (0, 255))
    pairs = [
        raw.view({"names": ["x", "y"], "formats": ["u1", "f8"], "offsets": [0, 8]})
        for raw in (one, other)
    ]
    longs = [raw.view(numpy.longdouble) for raw in (one, other)]
    for values in (pairs, longs):
        for each in values:
            each[...] = numpy.ones((), each.dtype)
        assert text_of(values[0]) == text_of(values[1])


def test_large_arrays_are_hashed_in_blocks():
    array = numpy.zeros(30_000)
    before = text_of(array)
    array[15_000] = 1
    assert text_of(array) != before
    rows = array.reshape(3, -1)  # wider than a block
    assert text_of(rows) == text_of(numpy.asfortranarray(rows)) != text_of(array)


def test_of_masked_arrays_the_mask_counts_and_not_what_is_under_it():
    masked = numpy.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    again = numpy.ma.masked_array([1.0, math.nan, 3.0], [False, True, False])
    assert text_of(masked) == text_of(again)
    others = [masked.data, masked[:2], numpy.ma.masked_array(masked.data, [True, False, False])]
    others += [numpy.ma.masked_array(masked, fill_value=7), masked.astype("f4")]
    assert len({text_of(each) for each in (masked, *others)}) == len(others) + 1
    structure = numpy.ma.masked_array([(1, 2)], [(False, True)], dtype=[("x", "i4"), ("y", "i4")])
    other = numpy.ma.masked_array([(1, 3)], [(False, True)], dtype=structure.dtype)
    assert text_of(structure) == text_of(other) != text_of(structure.data)


class WithUnit(numpy.ndarray):
    def __array_finalize__(self, other):
        self.unit = getattr(other, "unit", None)


def test_what_a_class_of_arrays_adds_counts(tmp_path):
    texts = []
    for unit in ("m", "km"):
        array = numpy.arange(3).view(WithUnit)
        array.unit = unit
        texts.append(text_of(array))
    assert len({*texts, text_of(numpy.arange(3))}) == 3
    on_disk = numpy.memmap(tmp_path / "numbers", "i8", "w+", shape=3)
    on_disk[:] = range(3)
    assert text_of(on_disk) == text_of(numpy.arange(3))


def test_objects_count_one_by_one():
    values = [["a", "bc"], ["ab", "c"], ["a", None], [None, "a"], ["a", math.nan], [1, "a"], [1, 2]]
    texts = [text_of(numpy.array(each, dtype=object)) for each in values]
    assert len(set(texts)) == len(values)
    texts = numpy.array(["a", "bc"], numpy.dtypes.StringDType())
    assert text_of(texts) == text_of(texts[::-1].copy()[::-1]) != text_of(texts[::-1])
    with pytest.raises(Unhashable, match=r"lock object at \[1\]"):
        text_of(numpy.array([1, threading.Lock()]))
