"""Files of shared memory are written again, and never while anybody reads them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from dataflow.worker.columns import pack
from dataflow.worker.file_columns import FileColumn, write_file
from runners.processes.spare_files import SpareFiles

NUMBERS = 250_000
Write = Callable[[float], FileColumn]


@pytest.fixture
def spare(tmp_path: Path) -> SpareFiles:
    return SpareFiles(str(tmp_path), most_bytes=10_000_000)


@pytest.fixture
def write(spare: SpareFiles, tmp_path: Path) -> Write:
    """Writes an array that is full of one number."""
    names = count()

    def write(number: float, numbers: int = NUMBERS) -> FileColumn:
        path = str(tmp_path / f"{next(names)}-{number}")
        column = pack([np.full(numbers, number)], exact=True)
        return write_file(column, path, claim=spare.claim)

    return write


def inode(column: FileColumn) -> int:
    return Path(column.paths[0]).stat().st_ino


def test_a_file_is_written_again(spare: SpareFiles, write: Any) -> None:
    first = write(1.0)
    before = inode(first)
    spare.keep(first.paths[0])
    assert len(spare) == 1
    second = write(2.0, NUMBERS - 10_000)
    assert inode(second) == before
    assert len(spare) == 0
    assert second.load(0).tolist() == [2.0] * (NUMBERS - 10_000)


def test_what_somebody_reads_stays_as_it_is(spare: SpareFiles, write: Any) -> None:
    first = write(1.0)
    value = first.load(0)
    part = value[10:]  # whatever refers to it counts
    del value
    spare.keep(first.paths[0])
    second = write(2.0)
    assert part.tolist() == [1.0] * (NUMBERS - 10)
    assert second.load(0)[0] == 2.0
    del part
    third_file = inode(second)
    spare.keep(second.paths[0])
    assert inode(write(3.0)) == third_file


def test_a_process_that_reads_is_respected_until_it_ends(spare: SpareFiles, write: Any) -> None:
    first = write(1.0)
    ours, theirs = os.pipe(), os.pipe()
    reader = os.fork()
    if not reader:
        value = first.load(0)
        os.write(theirs[1], b"r")
        os.read(ours[0], 1)
        os._exit(0 if value.sum() == NUMBERS else 1)
    os.read(theirs[0], 1)
    spare.keep(first.paths[0])
    write(2.0)
    os.write(ours[1], b"e")
    assert os.waitpid(reader, 0)[1] == 0


def test_a_process_that_is_forked_while_a_file_is_written_keeps_nobody_waiting(
    spare: SpareFiles, write: Any, tmp_path: Path
) -> None:
    spare.keep(write(1.0).paths[0])
    ours, theirs = os.pipe()
    children = []

    def claim(path: str, size: int) -> int | None:
        descriptor = spare.claim(path, size)
        assert descriptor is not None
        children.append(os.fork())
        if not children[-1]:
            os.close(theirs)
            os.read(ours, 1)
            os._exit(0)
        return descriptor

    column = pack([np.full(NUMBERS, 2.0)], exact=True)
    file = write_file(column, str(tmp_path / "forked"), claim=claim)
    assert file.load(0)[0] == 2.0
    assert os.waitpid(children[0], os.WNOHANG) == (0, 0)  # it still has what was open
    os.close(theirs)
    os.waitpid(children[0], 0)
    os.close(ours)


def test_a_forked_copy_of_the_process_takes_no_file_away(spare: SpareFiles, write: Any) -> None:
    first, second = write(1.0), write(2.0)
    spare.keep(second.paths[0])
    child = os.fork()
    if not child:
        spare.keep(first.paths[0])
        spare.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert first.load(0)[0] == 1.0
    assert len(spare) == 1


def test_much_larger_and_smaller_files_are_left(spare: SpareFiles, write: Any) -> None:
    first = write(1.0)
    spare.keep(first.paths[0])
    write(2.0, NUMBERS // 3)
    write(3.0, NUMBERS * 2)
    assert len(spare) == 1


def test_there_is_a_bound(spare: SpareFiles, write: Any) -> None:
    columns = [write(float(number)) for number in range(6)]
    for column in columns:
        spare.keep(column.paths[0])
    assert len(spare) == 4  # of two megabytes, and a little more, each
    assert not any(Path(column.paths[0]).exists() for column in columns)
    spare.close()
    assert len(spare) == 0
    last = write(1.0)
    spare.keep(last.paths[0])
    assert len(spare) == 0 and not Path(last.paths[0]).exists()


def test_what_others_take_away_meanwhile_does_no_harm(
    spare: SpareFiles, write: Any, tmp_path: Path
) -> None:
    (tmp_path / "offered-1-1").symlink_to(tmp_path / "gone")
    spare.keep(write(1.0).paths[0])
    assert len(spare) == 1


def test_small_files_are_not_worth_it(spare: SpareFiles, write: Any) -> None:
    column = write(1.0, 1000)
    spare.keep(column.paths[0])
    assert len(spare) == 0 and not Path(column.paths[0]).exists()


def test_what_is_gone_already_does_no_harm(spare: SpareFiles) -> None:
    spare.keep("/nowhere/at-all")
    assert spare.claim("/nowhere/at-all", 5) is None


class Values(RuleBasedStateMachine):
    """Values that are written, read, changed by their readers, and not needed any more, at random.

    Whatever is written again: everybody who holds a value sees what was written into it, and what
    it has changed itself.
    """

    columns: Bundle[tuple[FileColumn, float]] = Bundle("columns")
    readers: Bundle[list[Any]] = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.spare = SpareFiles(self.folder.name, most_bytes=5_000_000)
        self.names = count()
        self.held: list[list[Any]] = []

    @rule(target=columns, numbers=st.sampled_from((130_000, 150_000)))
    def write(self, numbers: int) -> tuple[FileColumn, float]:
        name = next(self.names)
        column = pack([np.full(numbers, float(name))], exact=True)
        path = f"{self.folder.name}/{name}"
        return write_file(column, path, claim=self.spare.claim), float(name)

    @rule(target=readers, column=columns)
    def read(self, column: tuple[FileColumn, float]) -> list[Any]:
        file, number = column
        reader = [file.load(0), number, {}]
        self.held.append(reader)
        return reader

    @rule(reader=readers, at=st.sampled_from((0, 77_777, 129_999)))
    def change(self, reader: list[Any], at: int) -> None:
        if reader:
            reader[0][at] = reader[2][at] = -1.0

    @rule(reader=consumes(readers))
    def let_go(self, reader: list[Any]) -> None:
        self.held = [each for each in self.held if each is not reader]
        reader.clear()

    @rule(column=consumes(columns))
    def need_no_more(self, column: tuple[FileColumn, float]) -> None:
        self.spare.keep(column[0].paths[0])

    @rule()
    def clear(self) -> None:
        self.spare.clear()

    @invariant()
    def everybody_sees_what_is_theirs(self) -> None:
        for array, number, changes in self.held:
            expected = np.full(len(array), number)
            for at, value in changes.items():
                expected[at] = value
            assert np.array_equal(array, expected)

    def teardown(self) -> None:
        self.held.clear()
        self.folder.cleanup()


Values.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestValues = Values.TestCase
