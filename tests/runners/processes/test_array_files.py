"""Values are made in the files that they are left in, and nobody notices."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import tempfile
import time
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
from dataflow.errors import FlowRunTimeoutError
from dataflow.worker import file_maps
from dataflow.worker.columns import pack
from dataflow.worker.file_columns import APART_BYTES, FileColumn, write_file
from dataflow.worker.file_maps import FileMap
from dataflow.worker.interruptible import uninterrupted
from dataflow.worker.timeouts import Deadline
from runners.processes import array_files
from runners.processes.array_files import ArrayFiles
from runners.processes.array_places import _LIBRARY
from runners.processes.spare_files import SpareFiles
from runners.processes.value_files import Folders, ValueFiles

pytestmark = pytest.mark.skipif(not _LIBRARY.exists(), reason="nothing was compiled")

SIZE = APART_BYTES


class Worker:
    """What a worker does with the values of one task."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spare = SpareFiles(str(folder), most_bytes=10 * SIZE)
        self.arrays = ArrayFiles(str(folder), self.spare)
        self.names = count()

    def write(self, *values: Any, calls: int = 1) -> FileColumn:
        """Leave what some calls have returned in files."""
        column = self.write_part(*values)
        self.arrays.learn("task", calls)
        return column

    def write_part(self, *values: Any) -> FileColumn:
        path = str(self.folder / f"value-{next(self.names)}")
        packed = pack(list(values), exact=True)
        return write_file(packed, path, claim=self.arrays.claim, adopt=self.arrays.adopt)

    def put_by(self, number: int) -> None:
        """Have so many files that may be written again."""
        for _ in range(number):
            path = str(self.folder / "more")
            self.keep(write_file(pack([ones()], exact=True), path))

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
    worker.offer()
    worker.keep(worker.write(ones()))
    yield worker
    worker.arrays.tidy()


def ones(size: int = SIZE) -> np.ndarray:
    return np.ones(size, "u1")


def is_in_file(array: np.ndarray, folder: Path) -> bool:
    """Whether its memory is that of a file there, and not of this process alone."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, *_ = line.split()
        first, _, stop = addresses.partition("-")
        if int(first, 16) <= array.ctypes.data < int(stop, 16):
            return access.endswith("s") and str(folder) in line
    raise AssertionError("an array lies somewhere")


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


def test_next_time_there_is_a_place_for_what_is_made_on_the_way(worker: Worker) -> None:
    worker.put_by(3)
    found = []
    for _ in range(3):
        worker.offer()
        on_the_way = ones()
        value = on_the_way + 1
        found.append(is_in_file(value, worker.folder))
        column = worker.write(value)
        assert column.load(0).sum() == 2 * SIZE
        del on_the_way, value
        worker.arrays.tidy()
        worker.keep(column)
    assert found == [False, True, True]


def test_several_values_and_several_parts_of_one_are_made_in_place(worker: Worker) -> None:
    pandas = pytest.importorskip("pandas")
    worker.put_by(3)

    def make() -> tuple[list[Any], list[bool]]:
        columns = {"a": np.arange(SIZE // 8), "b": np.full(SIZE // 8, 2.5)}
        values = [ones(), pandas.DataFrame(columns, copy=False)]
        return values, [is_in_file(each, worker.folder) for each in (values[0], *columns.values())]

    found = []
    for _ in range(2):
        worker.offer(calls=2)
        values, are_placed = make()
        found.append(are_placed)
        column = worker.write(*values, calls=2)
        array, frame = column.load_all()
        assert np.array_equal(array, values[0])
        pandas.testing.assert_frame_equal(frame, values[1])
        del values, array, frame
        worker.arrays.tidy()
        worker.keep(column)
    assert found[1] == [True] * 3


def test_there_are_as_many_places_as_calls(worker: Worker) -> None:
    worker.put_by(9)
    found = []
    for calls in (1, 4, 2, 20):
        worker.offer(calls)
        found.append(worker.offered())
        column = worker.write(*[ones() for _ in range(calls)], calls=calls)
        worker.arrays.tidy()
        worker.keep(column)
    assert found == [1, 4, 2, 8]


def test_what_is_reported_in_parts_counts_as_one(worker: Worker) -> None:
    worker.put_by(3)
    for _ in range(6):
        worker.offer()
        first = worker.write_part(ones())
        assert first.load(0).sum() == SIZE
        worker.write("the last is small")
        worker.arrays.tidy()
        worker.keep(first)
    worker.offer(calls=2)
    worker.write_part("small")
    assert worker.offered() == 2  # for the other part
    worker.arrays.learn("task", 2)


def test_what_is_offered_counts_as_kept(worker: Worker) -> None:
    worker.put_by(20)
    kept = len(worker.spare)
    worker.offer()
    worker.put_by(3)
    assert worker.offered() + len(worker.spare) == kept
    worker.arrays.tidy()


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


@pytest.fixture(params=["moved", "dropped", "replaced"])
def moves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the system moves the pages of a shared map, or not, or even has room for no other."""

    def scarce(size: int, flags: int, descriptor: int, address: int | None = None) -> int:
        if address is None and flags == mmap.MAP_PRIVATE:
            raise OSError(12, "Cannot allocate memory")
        return map_any(size, flags, descriptor, address)

    map_any = file_maps._map
    if request.param == "dropped":
        monkeypatch.setattr(file_maps, "moves_shared", lambda: False)
    if request.param == "replaced":
        become_private = FileMap.become_private

        def without_room(self: FileMap, descriptor: int) -> FileMap | None:
            with monkeypatch.context() as patched:
                patched.setattr(file_maps, "_map", scarce)
                return become_private(self, descriptor)

        monkeypatch.setattr(FileMap, "become_private", without_room)


@pytest.mark.usefixtures("moves")
def test_whether_pages_can_be_moved_is_not_to_be_seen(worker: Worker) -> None:
    for number in range(4):
        worker.offer()
        value = np.full(SIZE, number, "u1")
        assert is_in_file(value, worker.folder)
        column = worker.write(value)
        value[:] = 100
        assert column.load(0).sum() == number * SIZE
        del value
        worker.arrays.tidy()
        worker.keep(column)


def test_where_there_is_no_memory_for_a_map_the_array_keeps_the_one_it_has(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.offer()
    value = ones()

    def refuse(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(FileMap, "become_private", refuse)
        column = worker.write(value)
    value[:] = 2
    assert is_in_file(value, worker.folder)
    assert column.load(0).sum() == SIZE
    assert worker.write(value).load(0).sum() == 2 * SIZE


def test_the_memory_of_a_file_that_was_removed_is_freed_with_the_array(worker: Worker) -> None:
    worker.offer()
    value = ones()
    column = worker.write(value)
    with Path(column.paths[1]).open("rb") as file:
        file_maps.remove(column.paths[1])
        assert os.fstat(file.fileno()).st_size >= SIZE
        del value
        worker.arrays.tidy()
        assert os.fstat(file.fileno()).st_size == 0
        assert os.fstat(file.fileno()).st_ino not in file_maps.written.inodes()


@pytest.mark.usefixtures("moves")
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


def test_what_is_let_go_of_amid_a_fork_is_shared_with_nobody(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.offer()
    held = [ones()]
    leave = ArrayFiles._leave

    def let_go(*arguments: Any) -> bool:
        held.clear()
        return leave(*arguments)

    monkeypatch.setattr(ArrayFiles, "_leave", let_go)
    child = os.fork()
    if not child:
        os._exit(int(is_in_file(ones(), worker.folder)))
    assert os.waitpid(child, 0)[1] == 0
    assert not held and worker.offered() == 0


def test_a_time_limit_before_a_fork_shares_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.offer()
    value = ones()
    rings = iter([True])

    def interrupted() -> Any:
        if next(rings, False):
            raise Deadline
        return uninterrupted()

    monkeypatch.setattr(array_files, "uninterrupted", interrupted)
    child = os.fork()
    if not child:
        value[:] = 2
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not next(rings, False)
    assert value.sum() == SIZE


def test_without_shared_memory_nothing_is_offered(tmp_path: Path) -> None:
    files = ValueFiles(Folders(str(tmp_path), str(tmp_path), 1 << 40))
    for number in range(3):
        files.arrays.offer("task", 1)
        assert not list(tmp_path.glob("offered-*"))
        column = files.write(pack([ones()], exact=True), str(number))
        files.arrays.learn("task", 1)
        for path in column.paths:
            files.spare.keep(path)


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
        self.worker.offer(calls=2)
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


@task
def made(number: int) -> tuple[np.ndarray, bool]:
    """An array of it, which this process remembers."""
    array = np.full(SIZE, number, "u1")
    _remembered.append(array)
    return array, is_in_file(array, Path("/dev/shm"))


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


def pool_folders() -> set[Path]:
    """Where the pools of this process have their values."""
    return set(Path("/dev/shm").glob(f"dataflow-{os.getpid()}-*"))


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
    before = pool_folders()
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        found = dying.with_options(task_runner=runner)(str(tmp_path))
        assert found == [SIZE] * 4
        (folder,) = pool_folders() - before
        assert not list(folder.glob("offered-*"))


@task
def made_or_stays(number: int) -> np.ndarray:
    array = ones()
    if number == 3:
        time.sleep(60)
    return array


@flow(timeout_seconds=4)
def too_long() -> None:
    for number in range(4):
        made_or_stays.submit(number).result()


def test_a_pool_that_ends_amid_a_batch_leaves_no_file(tmp_path: Path) -> None:
    before = pool_folders()
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        with pytest.raises(FlowRunTimeoutError):
            too_long.with_options(task_runner=runner)()
        (folder,) = pool_folders() - before
    assert not list(folder.glob("offered-*"))
