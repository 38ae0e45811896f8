"""Columns of values: packed, and read back."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.worker.columns import ObjectColumn, PackedColumn, pack, set_apart

VALUES = st.lists(
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    max_size=20,
)


@given(values=VALUES, exact=st.booleans())
def test_a_column_gives_back_what_was_put_in(values: list[Any], exact: bool) -> None:
    column = pack(values, exact)
    for found in (column, pickle.loads(pickle.dumps(column, 5))):
        assert found.count == len(values)
        assert found.load_all() == values
        assert [found.load(position) for position in range(len(values))] == values


@pytest.mark.parametrize("exact", [False, True])
def test_arrays_are_not_copied_into_pickles_and_can_be_written_to(
    exact: bool,
) -> None:
    arrays = [np.arange(10_000), np.ones((100, 100), order="F"), np.zeros(0)]
    column = pack(arrays, exact)
    assert sum(len(part.data) for part in column.parts) < 2_000
    for found in (column, pickle.loads(pickle.dumps(column, 5))):
        for expected, value in zip(arrays, found.load_all(), strict=True):
            assert np.array_equal(expected, value)
            value += 1  # a private copy: nobody else sees it
        assert np.array_equal(found.load(0), arrays[0]) or not exact


def test_only_values_that_are_not_small_are_set_apart() -> None:
    small, large = list(range(1_000)), [bytes([n]) * 2_000 for n in range(3)]
    column = pack(small, exact=False)
    assert set_apart(column, small) is column
    found = set_apart(pack(large, exact=False), large)
    assert found.exact and found.load_all() == large
    assert set_apart(found, large) is found


def test_unpicklable_values_are_refused() -> None:
    with pytest.raises(Exception, match="pickle"):
        pack([1, (n for n in range(3))], False)


def test_objects_stay_themselves() -> None:
    value = object()
    assert ObjectColumn([value]).load(0) is value
    assert isinstance(pack([], False), PackedColumn)
