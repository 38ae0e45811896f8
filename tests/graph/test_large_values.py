"""Large arguments are packed as they are at the call, and kept once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataflow.graph.large_values import LARGE_BYTES, LargeValues, is_large, snapshot


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * LARGE_BYTES, False),
        ("x" * (LARGE_BYTES + 1), True),
        (b"x" * (LARGE_BYTES + 1), True),
        (bytearray(LARGE_BYTES), False),
        (bytearray(LARGE_BYTES + 1), True),
        (np.zeros(LARGE_BYTES // 8), False),
        (np.zeros(LARGE_BYTES // 8 + 1), True),
        (pd.DataFrame({"a": np.zeros(LARGE_BYTES)}), True),
        (pd.DataFrame({"a": [1]}), False),
        (pd.Series(np.zeros(LARGE_BYTES)), True),
        ([0] * LARGE_BYTES, False),
        (5, False),
        (np.ndarray, False),
    ],
)
def test_what_is_large(value: Any, expected: bool) -> None:
    assert is_large(value) is expected


def test_a_value_that_changes_is_kept_as_it_was() -> None:
    large = LargeValues()
    array = np.zeros(LARGE_BYTES)
    before = large.column_of(array)
    again = large.column_of(array)
    array[0] = 1
    after = large.column_of(array)
    assert before is again
    assert after is not before
    assert (before.load(0)[0], after.load(0)[0]) == (0, 1)


def test_each_load_is_an_object_of_its_own() -> None:
    column = snapshot(np.zeros(5), shared=False)
    column.load(0)[:] = 1
    assert not column.load(0).any()


def test_bytes_are_packed_once_and_let_go() -> None:
    large = LargeValues()
    data = b"x" * (LARGE_BYTES + 1)
    assert large.column_of(data) is large.column_of(data)
    assert large.column_of(data, shared=True) is not large.column_of(data)
    first = large.column_of(data)
    for number in range(20):
        large.column_of(b"%d" % number * LARGE_BYTES)
    assert large.column_of(data) is not first
    large.clear()
    assert first.load(0) == data
