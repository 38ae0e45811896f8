"""numpy makes large arrays at the places that are offered to it, and all others elsewhere."""

from __future__ import annotations

import contextvars
import ctypes
import mmap
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataflow.worker.file_columns import APART_BYTES
from runners.processes import array_places
from runners.processes.array_places import _LIBRARY, ArrayPlaces, PlaceState, make_places

pytestmark = pytest.mark.skipif(not _LIBRARY.exists(), reason="nothing was compiled")

SIZE = APART_BYTES + mmap.PAGESIZE
_USED = b"\xaa"


class Memory:
    """Some memory that is offered to numpy."""

    def __init__(self, places: ArrayPlaces, size: int) -> None:
        self.map = mmap.mmap(-1, size)
        self.map.write(_USED * size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.places = places
        number = places.offer(self.address, size)
        assert number is not None
        self.number = number

    def state(self) -> PlaceState:
        return self.places.state(self.number)

    def has(self, array: np.ndarray) -> bool:
        return array.ctypes.data == self.address


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second one, in front of that which other tests may use."""
    return Path(shutil.copy(_LIBRARY, tmp_path_factory.mktemp("library")))


@pytest.fixture(scope="module")
def own_places(library: Path) -> ArrayPlaces:
    found = make_places(library)
    assert found is not None
    return found


@pytest.fixture
def places(own_places: ArrayPlaces) -> Iterator[ArrayPlaces]:
    own_places.take_missed()
    yield own_places
    for number in range(16):
        for state in PlaceState:
            own_places.change(number, state, PlaceState.EMPTY)


@pytest.fixture
def memory(places: ArrayPlaces) -> Memory:
    return Memory(places, SIZE)


def test_an_array_is_made_at_a_place_and_the_next_elsewhere(memory: Memory) -> None:
    first = np.full(APART_BYTES, 1, "u1")
    second = np.full(APART_BYTES, 2, "u1")
    assert memory.has(first) and not memory.has(second)
    assert memory.state() is PlaceState.TAKEN
    assert memory.places.take_missed() == 1
    assert first.sum() == APART_BYTES and second.sum() == 2 * APART_BYTES
    del second
    assert memory.state() is PlaceState.TAKEN
    view = first[5:]
    del first
    assert memory.state() is PlaceState.TAKEN
    del view
    assert memory.state() is PlaceState.FREE
    assert memory.has(np.empty(SIZE, "u1"))
    assert memory.places.take_missed() == 0


@pytest.mark.parametrize("size", [1, 1000, APART_BYTES - 1, SIZE + 1])
def test_what_is_smaller_or_larger_is_made_elsewhere(memory: Memory, size: int) -> None:
    array = np.ones(size, "u1")
    assert not memory.has(array)
    assert memory.state() is PlaceState.FREE
    assert memory.places.take_missed() == 0


def test_a_small_array_takes_no_large_place(places: ArrayPlaces) -> None:
    memory = Memory(places, 3 * APART_BYTES)
    array = np.ones(APART_BYTES, "u1")
    assert not memory.has(array)
    assert memory.has(np.ones(2 * APART_BYTES, "u1"))


def test_zeros_are_zeros(memory: Memory) -> None:
    array = np.zeros((APART_BYTES // 8, 8), "u1")
    assert memory.has(array)
    assert not array.any()


def test_an_array_that_grows_moves(memory: Memory) -> None:
    array = np.full(APART_BYTES, 7, "u1")
    array.resize(SIZE, refcheck=False)
    assert memory.has(array)
    array.resize(SIZE + 8, refcheck=False)
    assert not memory.has(array)
    assert memory.state() is PlaceState.FREE
    assert (array[:APART_BYTES] == 7).all() and not array[SIZE:].any()
    array.resize(3 * SIZE, refcheck=False)
    assert (array[:APART_BYTES] == 7).all()


def test_a_place_that_was_left_says_when_nobody_looks_at_it_any_more(memory: Memory) -> None:
    array = np.ones(APART_BYTES, "u1")
    assert memory.places.change(memory.number, PlaceState.TAKEN, PlaceState.LEFT)
    assert not memory.has(np.ones(APART_BYTES, "u1"))
    array.resize(APART_BYTES + 1, refcheck=False)
    assert memory.has(array)
    assert memory.state() is PlaceState.LEFT
    del array
    assert memory.state() is PlaceState.ENDED
    assert not memory.has(np.ones(APART_BYTES, "u1"))


def test_a_state_is_changed_from_that_which_it_is(memory: Memory) -> None:
    assert not memory.places.change(memory.number, PlaceState.TAKEN, PlaceState.LEFT)
    assert memory.state() is PlaceState.FREE


def test_there_are_so_many_places(places: ArrayPlaces) -> None:
    numbers = [places.offer(1 << 20, 1) for _ in range(17)]
    assert sorted(filter(None, numbers)) == list(range(1, 16))
    assert numbers[-1] is None


def test_a_library_is_asked_once(library: Path, memory: Memory) -> None:
    again = make_places(library)
    assert again is not None
    assert again.state(memory.number) is PlaceState.FREE
    assert memory.has(np.ones(APART_BYTES, "u1"))
    assert np.ones(10).sum() == 10  # and not for ever


def test_a_library_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(ctypes.Structure):
        _fields_ = (*array_places._Places._fields_, ("more", ctypes.c_int))

    monkeypatch.setattr(array_places, "_Places", Other)
    assert make_places(_LIBRARY) is None


def test_what_cannot_be_loaded_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (None, b"for another system"):
        path = tmp_path / "library.so"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setattr(array_places, "_LIBRARY", path)
        assert array_places.array_places.__wrapped__() is None


def test_no_two_threads_get_one_place(places: ArrayPlaces) -> None:
    memories = [Memory(places, SIZE) for _ in range(3)]
    found: list[bool] = []
    everybody = threading.Barrier(8)

    def work(mark: int) -> None:
        for _ in range(20):
            array = np.empty(APART_BYTES, "u1")
            array[::100_000] = mark
            everybody.wait(60)
            found.append(bool((array[::100_000] == mark).all()))
            del array
            everybody.wait(60)

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work, mark))
        for mark in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 160
    assert {memory.state() for memory in memories} == {PlaceState.FREE}
    assert places.take_missed() == 20 * 5
