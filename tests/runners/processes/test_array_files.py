"""Values are made in the files that they are left in, and nobody notices."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from dataflow import ProcessPoolTaskRunner, flow, task
from dataflow.worker import file_maps
from dataflow.worker.columns import pack
from dataflow.worker.file_columns import FileColumn, write_file
from runners.processes.array_files import ArrayFiles
from runners.processes.array_places import _LIBRARY, LEAST_BYTES
from runners.processes.spare_files import SpareFiles

pytestmark = pytest.mark.skipif(not _LIBRARY.exists(), reason="nothing was compiled")

SIZE = LEAST_BYTES


class Worker:
    """What a worker does with the values of one task."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spare = SpareFiles(str(folder), most_bytes=10 * SIZE)
        self.arrays = ArrayFiles(str(folder), self.spare)
        self.names = count()

    def write(self, *values: Any, calls: int = 1) -> FileColumn:
        """Leave what some calls have returned in files."""
        path = str(self.folder / f"value-{next(self.names)}")
        packed = pack(list(values), exact=True)
        column = write_file(packed, path, claim=self.arrays.claim, adopt=self.arrays.adopt)
        self.arrays.learn("task", calls, column)
        return column

    def keep(self, column: FileColumn) -> None:
        for path in column.paths:
            self.spare.keep(path)

    def offer(self, calls: int = 1) -> None:
        self.arrays.offer("task", calls)

    def offered(self) -> int:
        """How many files nobody else can have."""
        return len(list(self.folder.glob("offered-*")))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """One that has seen what its task returns, and has a file that may be written again."""
    worker = Worker(tmp_path)
    worker.keep(worker.write(ones()))
    yield worker
    worker.arrays.tidy()


def ones(size: int = SIZE) -> np.ndarray:
    return np.ones(size, "u1")


def inodes(column: FileColumn) -> list[int]:
    return [Path(path).stat().st_ino for path in column.paths]


def test_a_value_is_made_in_its_file(worker: Worker) -> None:
    (spare,) = worker.folder.glob("spare-*")
    inode = spare.stat().st_ino
    worker.offer()
    assert worker.offered() == 1
    value = ones()
    column = worker.write(value)
    assert inodes(column)[1] == inode
    assert Path(column.paths[0]).stat().st_size < 1_000
    assert worker.offered() == 0
    assert np.array_equal(column.load(0), ones())


def test_it_may_be_written_to_afterwards_by_whoever_has_it(worker: Worker) -> None:
    worker.offer()
    value = ones()
    view = value[::2]
    column = worker.write(value)
    value[0] = 5
    view[1] = 6
    read = column.load(0)
    assert read.sum() == SIZE
    read[1] = 7
    assert value[:3].tolist() == [5, 1, 6]
    assert column.load(0).sum() == SIZE


def test_its_file_stays_as_it_is_while_somebody_looks_at_it(worker: Worker) -> None:
    worker.offer()
    value = ones()
    first = worker.write(value)
    worker.keep(first)
    worker.arrays.tidy()
    second = worker.write(np.full(SIZE, 2, "u1"))
    assert value.sum() == SIZE
    assert second.load(0).sum() == 2 * SIZE


def test_its_file_is_used_again_when_nobody_does(worker: Worker) -> None:
    seen = set()
    for number in range(5):
        worker.offer()
        value = np.full(SIZE, number, "u1")
        column = worker.write(value)
        assert column.load(0).sum() == number * SIZE
        seen.add(inodes(column)[1])
        del value
        worker.arrays.tidy()
        worker.keep(column)
    assert len(seen) == 1


def test_a_place_that_was_not_needed_is_given_back(worker: Worker) -> None:
    worker.offer()
    assert (worker.offered(), len(worker.spare)) == (1, 0)
    worker.arrays.tidy()
    assert (worker.offered(), len(worker.spare)) == (0, 1)


def test_an_array_that_is_not_returned_keeps_its_file_for_as_long_as_it_is_there(
    worker: Worker,
) -> None:
    worker.offer()
    kept = ones()
    worker.arrays.tidy()
    assert (worker.offered(), len(worker.spare)) == (1, 0)
    kept[:] = 3
    assert worker.write(kept[: SIZE // 3]).load(0).sum() == SIZE // 3 * 3
    del kept
    worker.arrays.tidy()
    assert worker.offered() == 0


def test_what_is_returned_again_is_copied_as_it_is_then(worker: Worker) -> None:
    worker.offer()
    value = ones()
    first = worker.write(value)
    value[:] = 2
    second = worker.write(value)
    value[:] = 3
    assert [each.load(0).sum() for each in (first, second)] == [SIZE, 2 * SIZE]
    assert len(first.paths) == 2 and len(second.paths) == 1


def test_next_time_there_is_a_place_for_what_is_made_on_the_way(worker: Worker) -> None:
    found = []
    for _ in range(3):
        worker.offer()
        on_the_way = ones()
        value = on_the_way + 1
        column = worker.write(value)
        assert column.load(0).sum() == 2 * SIZE
        found.append(len(column.paths))
        del on_the_way, value
        worker.arrays.tidy()
        worker.keep(column)
        for _ in range(2):
            worker.keep(write_file(pack([ones()], exact=True), str(worker.folder / "more")))
    assert found == [1, 2, 2]


def test_several_values_and_several_parts_of_one_are_made_in_place(worker: Worker) -> None:
    pandas = pytest.importorskip("pandas")

    def make() -> list[Any]:
        columns = {"a": np.arange(SIZE // 8), "b": np.full(SIZE // 8, 2.5)}
        return [ones(), pandas.DataFrame(columns, copy=False)]

    found = []
    for _ in range(2):
        worker.offer(calls=2)
        column = worker.write(*make(), calls=2)
        array, frame = column.load_all()
        expected, expected_frame = make()
        assert np.array_equal(array, expected)
        pandas.testing.assert_frame_equal(frame, expected_frame)
        found.append(len(column.paths))
        del array, frame, expected, expected_frame
        worker.arrays.tidy()
        for _ in range(3):
            path = str(worker.folder / "more")
            worker.keep(write_file(pack([ones()], exact=True), path))
    assert found == [2, 4]


def test_nothing_is_offered_any_more_to_what_is_made_by_others_than_numpy(worker: Worker) -> None:
    offered = []
    for _ in range(6):
        worker.offer()
        offered.append(worker.offered())
        column = worker.write(pickle.PickleBuffer(bytearray(SIZE)))
        assert len(worker.spare) == 0  # it was copied into what had been offered
        worker.arrays.tidy()
        worker.keep(column)
    assert offered == [1, 1, 1, 1, 0, 0]


def test_others_than_the_same_calls_get_no_place(worker: Worker) -> None:
    worker.arrays.offer("another task", 1)
    assert worker.offered() == 0


def test_where_the_system_cannot_do_it_values_are_copied(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(file_maps, "_move", refuse)
    worker.offer()
    value = ones()
    column = worker.write(value)
    assert len(column.paths) == 1
    value[:] = 2
    assert column.load(0).sum() == SIZE
    del value
    worker.arrays.tidy()
    assert worker.offered() == 0


def test_where_the_map_cannot_be_replaced_the_array_keeps_the_one_it_has(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.offer()
    value = ones()

    def refuse(address: int, size: int, flags: int, descriptor: int) -> int:
        if address:
            raise OSError(12, "Cannot allocate memory")
        return map_anywhere(address, size, flags, descriptor)

    map_anywhere = file_maps._map
    monkeypatch.setattr(file_maps, "_map", refuse)
    column = worker.write(value)
    value[:] = 2
    assert value.sum() == 2 * SIZE
    assert column.load(0).sum() == SIZE


@pytest.mark.parametrize("is_returned", [False, True])
def test_a_child_that_is_forked_shares_no_array(worker: Worker, is_returned: bool) -> None:
    worker.offer()
    value = ones()
    column = worker.write(value) if is_returned else None
    ours, theirs = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        value[:] = 2
        os.write(theirs[1], b"w")
        os.read(ours[0], 1)
        os._exit(0 if value.sum() == 2 * SIZE else 1)
    assert os.read(theirs[0], 1) == b"w"
    assert value.sum() == SIZE
    value[:] = 3
    os.write(ours[1], b"e")
    assert os.waitpid(child, 0)[1] == 0
    later = worker.write(value)
    assert later.load(0).sum() == 3 * SIZE
    assert column is None or column.load(0).sum() == SIZE


def test_a_child_finds_no_place(worker: Worker) -> None:
    worker.offer()
    child = os.fork()
    if not child:
        value = ones()
        os._exit(worker.offered() or int(value.sum() != SIZE))
    assert os.waitpid(child, 0)[1] == 0
    assert (worker.offered(), len(worker.spare)) == (0, 1)


# --- at random ------------------------------------------------------------------------------------


class Held:
    """An array that somebody has, and what should be in it."""

    def __init__(self, array: np.ndarray, expected: dict[int, int], number: int) -> None:
        self.array = array
        self.expected = dict(expected)
        self.number = number

    def is_right(self) -> bool:
        expected = np.full(len(self.array), self.number, "u1")
        for at, value in self.expected.items():
            expected[at] = value
        return np.array_equal(self.array, expected)


class Values(RuleBasedStateMachine):
    """Arrays that are made, returned, read, changed, forked and let go of, at random.

    Whatever becomes of their files: everybody sees what was returned, and what it has changed
    itself.
    """

    made: Bundle[Held] = Bundle("made")
    columns: Bundle[tuple[FileColumn, Held]] = Bundle("columns")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.worker = Worker(Path(self.folder.name))
        self.numbers = count(1)
        self.held: list[Held] = []
        self.worker.keep(self.worker.write(ones(), ones(), calls=2))

    def hold(self, *parts: Any) -> Held:
        held = Held(*parts)
        self.held.append(held)
        return held

    @rule(size=st.sampled_from((SIZE, SIZE + 100_000, SIZE * 2)))
    def put_by(self, size: int) -> None:
        path = str(self.worker.folder / "more")
        self.worker.keep(write_file(pack([ones(size)], exact=True), path))

    @rule(calls=st.integers(1, 4))
    def offer(self, calls: int) -> None:
        self.worker.offer(calls)

    @rule(target=made, size=st.sampled_from((SIZE, SIZE + 50_000)), zeros=st.booleans())
    def make(self, size: int, zeros: bool) -> Held:
        if zeros:
            return self.hold(np.zeros(size, "u1"), {}, 0)
        number = next(self.numbers) % 100
        return self.hold(np.full(size, number, "u1"), {}, number)

    @rule(target=columns, held=made)
    def give(self, held: Held) -> tuple[FileColumn, Held]:
        empty = np.zeros(0, "u1")
        expected = Held(empty, held.expected, held.number)
        return self.worker.write(held.array), expected

    @rule(target=made, column=columns)
    def read(self, column: tuple[FileColumn, Held]) -> Held:
        file, expected = column
        return self.hold(file.load(0), expected.expected, expected.number)

    @rule(held=made, at=st.sampled_from((0, 777_777, SIZE - 1)))
    def change(self, held: Held, at: int) -> None:
        held.array[at] = held.expected[at] = 200

    @rule(held=consumes(made))
    def let_go(self, held: Held) -> None:
        self.held = [each for each in self.held if each is not held]
        held.array = np.full(1, held.number, "u1")
        held.expected = {}

    @rule(column=consumes(columns))
    def need_no_more(self, column: tuple[FileColumn, Held]) -> None:
        self.worker.keep(column[0])

    @rule()
    def tidy(self) -> None:
        self.worker.arrays.tidy()

    @rule()
    def clear(self) -> None:
        self.worker.spare.clear()

    @rule()
    def fork(self) -> None:
        child = os.fork()
        if not child:
            for held in self.held:
                held.array[:] = 250
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    @invariant()
    def everybody_sees_what_is_theirs(self) -> None:
        assert all(held.is_right() for held in self.held)

    def teardown(self) -> None:
        self.held.clear()
        self.worker.arrays.tidy()
        self.folder.cleanup()


Values.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestValues = Values.TestCase


# --- in a flow ------------------------------------------------------------------------------------


_remembered: list[np.ndarray] = []


def is_in_file(array: np.ndarray) -> bool:
    """Whether its memory is that of a file which other processes can have."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, *_ = line.split()
        first, _, stop = addresses.partition("-")
        if int(first, 16) <= array.ctypes.data < int(stop, 16):
            return access.endswith("s") and "/dev/shm/" in line
    raise AssertionError("an array lies somewhere")


@task
def made(number: int) -> tuple[np.ndarray, bool]:
    """An array of it, which this process remembers."""
    array = np.full(SIZE, number, "u1")
    _remembered.append(array)
    return array, is_in_file(array)


@task
def change_remembered() -> int:
    for each in _remembered:
        each[:] = 250
    changed = len(_remembered)
    _remembered.clear()
    return changed


@task
def total(*results: tuple[np.ndarray, bool]) -> tuple[int, int]:
    """The sum, which it then spoils for itself, and how many were made in files."""
    found = sum(int(array.sum()) for array, _ in results)
    for array, _ in results:
        array[:] = 0
    return found, sum(is_placed for _, is_placed in results)


@flow
def rounds() -> list[list[tuple[int, int]]]:
    found = []
    for number in range(5):
        results = [made.submit(number + each) for each in range(3)] + list(made.map([number] * 3))
        found.append([total.submit(*results).result()])
        changed = 0
        while changed < len(results):
            changed += change_remembered.submit().result()
        found[-1].append(total.submit(*results).result())
    return found


def test_values_that_are_made_in_place_are_what_they_should_be() -> None:
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        found = rounds.with_options(task_runner=runner)()
    for number, (first, second) in enumerate(found):
        assert first == second
        assert first[0] == SIZE * (6 * number + 3)
    assert max(placed for (_, placed), _ in found) >= 3


@task
def made_and_forked(number: int) -> np.ndarray:
    array = np.full(SIZE, number, "u1")
    child = os.fork()
    if not child:
        array[:] = 250
        os._exit(0)
    os.waitpid(child, 0)
    return array


@flow
def forking() -> list[int]:
    return [int(made_and_forked.submit(number).result().sum()) for number in range(4)]


def test_a_task_that_forks_returns_what_it_made() -> None:
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        found = forking.with_options(task_runner=runner)()
    assert found == [SIZE * number for number in range(4)]


@task
def dies_once(folder: str) -> np.ndarray:
    """The third call dies with its process."""
    number = len(list(Path(folder).iterdir()))
    Path(folder, str(number)).touch()
    array = ones()
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return array


@flow
def dying(folder: str) -> list[int]:
    return [int(dies_once.submit(folder).result().sum()) for _ in range(4)]


def test_a_worker_that_dies_leaves_no_file_that_nobody_can_use(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").glob("dataflow-*"))
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        found = dying.with_options(task_runner=runner)(str(tmp_path))
        assert found == [SIZE] * 4
        (folder,) = set(Path("/dev/shm").glob(f"dataflow-{os.getpid()}-*")) - before
        assert not list(folder.glob("offered-*"))
