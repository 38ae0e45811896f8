"""Frames of polars have one text, in whatever chunks they are; run where polars is installed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dataflow.hashing.encoding import Unhashable
from dataflow.hashing.values import text_of

polars = pytest.importorskip("polars")


def frame():
    return polars.DataFrame(
        {
            "x": [1, None, 3],
            "y": ["a", None, "a text that is longer than twelve bytes"],
            "z": [{"a": ["b"]}, None, {"a": None}],
            "c": polars.Series(["b", None, "a"], dtype=polars.Categorical),
            "e": polars.Series(["b", None, "a"], dtype=polars.Enum(["b", "a"])),
        }
    )


def test_content_counts_and_chunks_do_not():
    one = frame()
    parts = polars.concat([one[:1], one[1:]], rechunk=False)
    assert parts.n_chunks() == 2
    assert text_of(parts) == text_of(one) == text_of(polars.concat([one, one])[3:])
    assert text_of(parts["y"]) == text_of(one["y"])
    enum = one["e"].cast(polars.Utf8).cast(polars.Enum(["a", "b"]))
    others = [
        one[:2],
        one.rename({"x": "a"}),
        one.select(sorted(one.columns)),
        one.with_columns(polars.col("x").cast(polars.Int32)),
        one.with_columns(polars.col("x").fill_null(0)),
        one.with_columns(e=enum),
        one["x"],
        one["x"].rename("a"),
        one.to_arrow(),
    ]
    assert len({text_of(each) for each in (one, *others)}) == len(others) + 1


def test_objects_of_python_are_refused():
    column = polars.Series("lock", [threading.Lock()], dtype=polars.Object)
    with pytest.raises(Unhashable, match="DataFrame object has objects of Python in column 'lock'"):
        text_of(column.to_frame())


WITHOUT_ARROW = """
import sys
sys.modules["pyarrow"] = None
import polars
from dataflow.hashing.values import text_of
one, other = (text_of(polars.DataFrame({"x": [1, last]})) for last in (2, 3))
assert one != other and one == text_of(polars.DataFrame({"x": [1, 2]}))
"""


def test_it_does_without_arrow():
    subprocess.run([sys.executable, "-c", WITHOUT_ARROW], check=True)
