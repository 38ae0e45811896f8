"""What a call is given is its own, whoever else in the batch reads the same value."""

from __future__ import annotations

import datetime
import os
import pickle
import tempfile
import threading
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.worker.columns import ObjectColumn, PackedColumn, pack
from dataflow.worker.file_columns import FileColumn, write_file
from dataflow.worker.lending import Lender, Snapshot, is_fixed, lender_of, opened

FIXED = [
    1,
    "text",
    None,
    Decimal("1.5"),
    datetime.date(2026, 1, 2),
    Path("/tmp"),
    (1, ("a", frozenset({2}))),
    int,
]


@pytest.mark.parametrize("value", FIXED, ids=repr)
def test_what_cannot_change(value: Any) -> None:
    assert is_fixed(value)


@pytest.mark.parametrize("value", [[], {}, (1, []), bytearray(), np.zeros(1)], ids=repr)
def test_what_may_change(value: Any) -> None:
    assert not is_fixed(value)


@pytest.mark.parametrize("size", [3, 1_000_000])
@pytest.mark.parametrize("exact", [True, False])
def test_a_snapshot_is_the_value_as_it_was(size: int, exact: bool) -> None:
    value: dict[str, Any] = {"array": np.zeros(size), "list": [1]}
    snapshot = Snapshot(value)
    value["array"][0] = 7
    value["list"].append(2)
    for found in (opened(snapshot), opened(snapshot), pack([snapshot], exact).load(0)):
        assert found["array"][0] == 0 and found["list"] == [1]
        found["array"][0] = 9  # can be written to, and nobody else sees it
        found["list"].append(3)
    assert snapshot.nbytes >= 8 * size
    assert pickle.loads(pickle.dumps(snapshot, 5))["list"] == [1]


def test_what_cannot_be_pickled_has_no_snapshot() -> None:
    with pytest.raises(TypeError, match="pickle"):
        Snapshot(threading.Lock())


Reads = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=20)


def in_file(values: list[Any]) -> FileColumn:
    handle, path = tempfile.mkstemp()
    os.close(handle)
    Path(path).unlink()
    return write_file(pack(values, exact=False), path)


@given(Reads, st.sampled_from((ObjectColumn, partial(pack, exact=False), in_file)))
def test_no_reader_sees_what_another_has_done(
    reads: list[tuple[int, int]], column_of: Callable[[list[Any]], Any]
) -> None:
    column = column_of([[n, [0]] if n % 2 else (n, [0]) for n in range(6)])
    column.load_all()  # somebody has read it before, in another batch
    lender = lender_of(column)
    assert isinstance(lender, Lender)
    for start, length in reads:
        stop = min(start + length, 6)
        found = lender.load_range(start, stop) if length > 1 else [lender.load(start)]
        for n, (number, inner) in enumerate(found, start):
            assert (number, len(inner)) == (n, 1)
            inner.append(1)
        for each in found:
            if isinstance(each, list):
                each[0] = -1
    if isinstance(column, FileColumn):
        Path(column.paths[0]).unlink()


def test_values_that_cannot_change_are_lent_as_they_are() -> None:
    lender = lender_of(pack(["a" * 100, "b" * 100], exact=False))
    assert lender.load_all() is lender.load_all()
    assert lender.load(1) is lender.load(1)


@pytest.mark.parametrize(
    "column",
    [pack([[1]], exact=True), ObjectColumn([1, "a"]), PackedColumn([], 0, False, shared=True)],
    ids=["exact", "fixed", "shared"],
)
def test_columns_that_need_no_lender(column: Any) -> None:
    assert lender_of(column) is column
