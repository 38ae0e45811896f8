"""Maps of files are kept, show what is in the file, and keep no memory of files that are gone."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from dataflow.worker import file_maps
from dataflow.worker.file_maps import FileMap, KeptMaps, map_file, map_to_read, map_to_write, remove

SIZE = 300_000
HAS_PAGEMAP = os.access("/proc/self/pagemap", os.R_OK)


@pytest.fixture(autouse=True)
def own_maps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(file_maps, "read", KeptMaps())
    monkeypatch.setattr(file_maps, "written", KeptMaps())
    yield
    gc.collect()


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "values").write_bytes(b"1" * SIZE)
    return str(tmp_path / "values")


def address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


def count_maps(path: str) -> int:
    return Path("/proc/self/maps").read_text().count(f"{path}\n")


def is_locked(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def rewrite(path: str, byte: bytes) -> None:
    with map_to_write(path) as view:
        view[:] = byte * SIZE


@pytest.mark.skipif(not HAS_PAGEMAP, reason="the system does not say what was written")
def test_a_map_is_kept_and_shows_what_was_written_since(path: str) -> None:
    view = map_to_read(path, range(SIZE))
    assert bytes(view) == b"1" * SIZE
    before = address(view)
    del view
    rewrite(path, b"2")
    view = map_to_read(path, range(SIZE - 5))
    assert address(view) == before
    assert bytes(view) == b"2" * (SIZE - 5)


def test_what_a_reader_writes_is_never_seen_by_another(path: str) -> None:
    view = map_to_read(path, range(SIZE))
    view[SIZE - 7] = 0
    del view
    assert bytes(map_to_read(path, range(SIZE))) == b"1" * SIZE
    assert Path(path).read_bytes() == b"1" * SIZE


def test_of_a_map_that_is_lent_in_parts_those_are_looked_at(path: str) -> None:
    for start in (0, 99_999, 7):
        view = map_to_read(path, range(start, start + 100_000))
        assert bytes(view) == b"1" * 100_000
        view[-1] = 0
        del view
    assert bytes(map_to_read(path, range(SIZE))) == b"1" * SIZE


def test_a_map_that_was_written_to_is_not_kept(path: str) -> None:
    view = map_to_read(path, range(SIZE))
    view[5_000] = 0
    del view
    assert not file_maps.read.inodes()
    assert count_maps(path) == 0


def test_of_two_maps_of_a_file_one_is_kept(path: str) -> None:
    views = [map_to_read(path, range(SIZE)) for _ in range(2)]
    assert count_maps(path) == 2
    views.clear()
    assert count_maps(path) == (1 if HAS_PAGEMAP else 0)


def test_two_readers_at_once_have_maps_of_their_own(path: str) -> None:
    first, second = map_to_read(path, range(SIZE)), map_to_read(path, range(SIZE))
    first[0] = 0
    assert bytes(second) == b"1" * SIZE


def test_a_file_is_locked_while_any_part_of_it_is_in_use(path: str) -> None:
    array = np.frombuffer(map_to_read(path, range(SIZE))[100:200], np.uint8)
    part = array[50:]
    del array
    assert is_locked(path)
    del part
    assert not is_locked(path)


def test_a_map_of_what_is_written_holds_no_lock(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with map_to_write(path) as view:
        before = address(view)
        os.close(descriptor)
        assert not is_locked(path)
    with map_to_write(path) as view:
        assert address(view) == before


def test_memory_of_a_removed_file_is_free_although_its_maps_are_kept(path: str) -> None:
    view = map_to_read(path, range(SIZE))
    descriptor = os.open(path, os.O_RDONLY)
    del view
    remove(path)
    assert os.fstat(descriptor).st_size == 0
    os.close(descriptor)
    assert not Path(path).exists()


def test_a_file_that_is_removed_while_it_is_read_stays_for_its_reader(path: str) -> None:
    rewrite(path, b"2")  # the map of that is kept
    view = map_to_read(path, range(SIZE))
    descriptor = os.open(path, os.O_RDONLY)
    remove(path)
    assert bytes(view) == b"2" * SIZE
    assert os.fstat(descriptor).st_size == SIZE
    del view
    assert os.fstat(descriptor).st_size == 0
    os.close(descriptor)
    assert not file_maps.read.inodes()


def test_a_file_is_removed_when_no_more_can_be_opened(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: str, flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        remove(path)
    assert not Path(path).exists()


class Looks:
    """In a cycle; looks at a view when it is collected."""

    seen: list[bytes]

    def __init__(self, view: memoryview, path: str) -> None:
        self.view, self.path, self.itself = view, path, self

    def __del__(self) -> None:
        Looks.seen = [bytes(self.view[:3]), b"locked" if is_locked(self.path) else b"free"]


def test_what_is_collected_may_still_look_at_its_view(path: str) -> None:
    """weakref.finalize of an object that is collected would be called before ``__del__``."""
    Looks(map_to_read(path, range(SIZE)), path)
    gc.collect()
    assert Looks.seen == [b"111", b"locked"]
    assert not is_locked(path)


def test_a_map_that_is_too_small_is_not_taken(path: str) -> None:
    view = map_to_read(path, range(SIZE))
    del view
    with Path(path).open("ab") as file:
        file.write(b"3" * SIZE)
    assert bytes(map_to_read(path, range(2 * SIZE))) == b"1" * SIZE + b"3" * SIZE


def test_what_is_not_there_is_not_mapped(path: str) -> None:
    for size, place in ((SIZE, path + "-none"), (SIZE + 1, path)):
        with pytest.raises(FileNotFoundError):
            map_to_read(place, range(size))
    assert not is_locked(path)


def test_where_the_system_does_not_say_what_was_written_no_map_is_used_again(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileMap, "is_unwritten", lambda *_: False)
    view = map_to_read(path, range(SIZE))
    view[0] = 0
    del view
    assert bytes(map_to_read(path, range(SIZE))) == b"1" * SIZE


def test_where_the_system_has_no_names_for_descriptors_a_file_is_unlocked_all_the_same(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = map_to_read(path, range(SIZE))

    def refuse(place: str, flags: int) -> int:
        raise FileNotFoundError(place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        del view
    assert not is_locked(path)
    assert not file_maps.read.inodes()


def test_no_more_is_kept_than_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = count()

    def keep(kept: KeptMaps, size: int) -> None:
        place = tmp_path / str(next(names))
        place.write_bytes(bytes(size))
        kept.put((0, next(names)), map_file(str(place), size, is_private=True))

    kept = KeptMaps()
    for _ in range(40):
        keep(kept, 5_000)
    assert len(kept.inodes()) == 32
    monkeypatch.setattr(file_maps, "_MOST_BYTES", 100_000)
    keep(kept, 50_000)
    assert len(kept.inodes()) == 11
    keep(kept, 100_001)
    assert len(kept.inodes()) == 11


def test_what_a_descriptor_has_become_is_left_alone(path: str) -> None:
    before = set(file_maps._locked)
    view = map_to_read(path, range(SIZE))
    (descriptor,) = file_maps._locked - before
    with tempfile.TemporaryFile() as file:
        file.write(b"of somebody else")
        file.flush()
        os.dup2(file.fileno(), descriptor)
        del view
        gc.collect()
        assert descriptor not in file_maps._locked
        assert os.fstat(descriptor).st_size == 16
        os.close(descriptor)
