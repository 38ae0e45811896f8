"""Columns of values in files: written once, read in place, or copied where they are small."""

from __future__ import annotations

import pickle
import resource
from pathlib import Path

import numpy as np
import pytest

from dataflow.errors import ResultMissing
from dataflow.worker import file_columns, file_maps
from dataflow.worker.columns import pack
from dataflow.worker.file_columns import write_file


@pytest.mark.parametrize("size", [10_000, 100_000])
@pytest.mark.parametrize("exact", [False, True])
def test_arrays_in_a_file_can_be_written_to_and_nobody_else_sees_that(
    exact: bool, size: int, tmp_path: Path
) -> None:
    arrays = [np.arange(size), np.ones((100, 100), order="F"), np.zeros(0)]
    file = write_file(pack(arrays, exact), str(tmp_path / "column"))
    for found in (file, pickle.loads(pickle.dumps(file))):
        for expected, value in zip(arrays, found.load_all(), strict=True):
            assert np.array_equal(expected, value)
            value += 1
        for position in range(3):
            assert np.array_equal(found.load(position), arrays[position]) or not exact


def test_small_values_in_a_file_are_loaded_once(tmp_path: Path) -> None:
    values = [[n] for n in range(1_000)]
    file = write_file(pack(values, exact=False), str(tmp_path / "column"))
    assert file.load_all() == values
    (tmp_path / "column").unlink()
    assert [file.load(position) for position in range(1_000)] == values
    assert file.load(1) is file.load_all()[1]


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    file = write_file(pack([1], True), str(tmp_path / "column"))
    (tmp_path / "column").unlink()
    with pytest.raises(ResultMissing, match="gone"):
        file.load(0)


def test_a_shared_file_is_loaded_once(tmp_path: Path) -> None:
    file = write_file(pack([[1, 2]], True), str(tmp_path / "column"), shared=True)
    assert file.load(0) is file.load(0)


def test_what_fails_amid_writing_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(file_columns, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(pack([1], True), str(tmp_path / "column"))
    assert list(tmp_path.iterdir()) == []


def test_more_values_can_be_held_than_files_be_open(tmp_path: Path) -> None:
    most = max(int(path.name) for path in Path("/dev/fd").iterdir()) + 100
    files = [
        write_file(pack([np.full(30_000, n)], True), str(tmp_path / f"{n}")) for n in range(most)
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        values = [file.load(0) for file in files]
        (tmp_path / "another").touch()  # there is room for others
        assert [int(value[-1]) for value in values] == list(range(most))
        del values
        assert file_maps.may_map()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
