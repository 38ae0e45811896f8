"""What crosses by value keeps the file and the lines that its code came from."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from dataflow.worker import pickling

SOURCE = """
def fails(x):
    inner = lambda: 1 / x
    return inner()
"""


@pytest.fixture
def fails(tmp_path: Path) -> Any:
    """A function of a file that other processes cannot import."""
    path = tmp_path / "script.py"
    path.write_text(SOURCE)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, str(path), "exec"), names)
    return names["fails"]


def test_a_traceback_shows_the_lines_of_the_user(fails: Any, tmp_path: Path) -> None:
    copy = pickling.loads(pickling.dumps(fails))
    assert copy is not fails
    with pytest.raises(ZeroDivisionError) as caught:
        copy(0)
    last = traceback.extract_tb(caught.value.__traceback__)[-2:]
    assert [(frame.filename, frame.line) for frame in last] == [
        (str(tmp_path / "script.py"), "return inner()"),
        (str(tmp_path / "script.py"), "inner = lambda: 1 / x"),
    ]


def test_a_function_is_the_same_bytes_each_time(fails: Any) -> None:
    assert pickling.dumps(fails) == pickling.dumps(fails)
