"""Columns of values in files: copied once into shared memory, or to disk, and read in place."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from typing import Any

from dataflow.errors import ResultMissing
from dataflow.worker.columns import PackedColumn, PickledColumn
from dataflow.worker.file_maps import map_to_read, map_to_write, remove
from dataflow.worker.loading import load_pickle

_ALIGN = 64
_MAPPED_BYTES = 200_000  # less is copied sooner
_COPIED_BYTES = 16_000_000  # at once: other threads have to wait for it
_MOST_SHARED = 16
_shared: dict[str, list[Any]] = {}  # what every call of this process reads, last used last


class FileColumn(PickledColumn):
    """A packed column in a file, read through a private memory map.

    Large values are copied once into shared memory and read in place; they never pass through the
    flow's process. The map is copy-on-write: arrays in it can be written to without a copy made
    beforehand, and nobody else sees what was written. While values in a map are in use its file
    is locked, so that it is not written again (see ``runners.processes.spare_files``). What is
    small is copied instead. What every element of a map gets (``unmapped``) is *shared*: loaded
    once by each worker.
    """

    __slots__ = ("layout", "path", "size")

    def __init__(
        self,
        path: str,
        size: int,
        layout: list[list[tuple[int, int]]],
        count: int,
        exact: bool,
        shared: bool = False,
    ) -> None:
        super().__init__(count, exact, shared)
        self.path = path
        self.size = size
        self.layout = layout

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return self.size

    def load(self, position: int) -> Any:
        """The value at ``position``; a shared one is loaded once in a process."""
        if self.shared:
            return self._load_shared()[position]
        return super().load(position)

    def _load_shared(self) -> list[Any]:
        values = _shared.pop(self.path, None)
        if values is None:
            values = self._load_pickles(range(self._count))
        _shared[self.path] = values
        while len(_shared) > _MOST_SHARED:
            del _shared[next(iter(_shared))]
        return values

    def _load_pickles(self, numbers: Iterable[int]) -> list[Any]:
        layouts = [self.layout[number] for number in numbers]
        if not layouts:
            return []
        wanted = range(layouts[0][0][0], sum(layouts[-1][-1]))
        view = self._open(wanted)
        found = []
        for layout in layouts:
            data, *buffers = (
                view[start - wanted.start : start - wanted.start + size] for start, size in layout
            )
            found.append(load_pickle(data, buffers))
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self.path, self.size, self.layout, self._count, self.exact, self.shared
        return FileColumn, parts

    def _open(self, wanted: range) -> memoryview:
        """These bytes, which may be written to."""
        read = map_to_read if len(wanted) >= _MAPPED_BYTES else _copied
        try:
            return read(self.path, wanted)
        except FileNotFoundError:
            raise ResultMissing(
                f"The values in {self.path} are gone.",
                hint="They live as long as the run that made them; persist results to keep them.",
            ) from None


def _copied(path: str, wanted: range) -> memoryview:
    """A copy of these bytes; no lock, since it is the column that is read, and it has the file."""
    found = bytearray(len(wanted))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if os.preadv(descriptor, [found], wanted.start) < len(wanted):
            raise FileNotFoundError(path)
    finally:
        os.close(descriptor)
    return memoryview(found)


def write_file(
    column: PackedColumn,
    path: str,
    shared: bool = False,
    claim: Callable[[str, int], int | None] = lambda path, size: None,
) -> FileColumn:
    """Move a packed column into a file (in shared memory, if ``path`` is there): one copy.

    Args:
        column: what is moved.
        path: where the file is to be.
        shared: whether all calls of a process may get the same objects.
        claim: given the path and how many bytes are needed, makes a file that was there before the
            one at this path, and returns its descriptor; None: a new one has to be made.

    Raises:
        OSError: there is no room.
    """
    layout: list[list[tuple[int, int]]] = []
    at = 0
    for part in column.parts:
        places = []
        for piece in part.pieces():
            size = memoryview(piece).nbytes
            places.append((at, size))
            at += -(-size // _ALIGN) * _ALIGN
        layout.append(places)
    size = max(at, 1)
    pieces = [memoryview(piece).cast("B") for part in column.parts for piece in part.pieces()]
    starts = [start for places in layout for start, _ in places]
    descriptor = claim(path, size)
    is_new = descriptor is None
    if descriptor is None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if is_new:
            os.posix_fallocate(descriptor, 0, size)
            _write(descriptor, pieces, starts)
        else:
            _copy(path, pieces, starts)
    except BaseException:  # a time limit, or Ctrl-C: half a file is of no use either
        remove(path)
        raise
    finally:  # a process that a task has forked may have the descriptor for longer, and the lock
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
    return FileColumn(path, size, layout, column.count, column.exact, shared)


def _write(descriptor: int, pieces: Iterable[memoryview], starts: Iterable[int]) -> None:
    for piece, start in zip(pieces, starts, strict=True):
        done = 0
        while done < len(piece):
            done += os.pwrite(descriptor, piece[done:], start + done)


def _copy(path: str, pieces: Iterable[memoryview], starts: Iterable[int]) -> None:
    """Write to a file that was written before: its pages are mapped, and stay so."""
    with map_to_write(path) as view:
        for piece, start in zip(pieces, starts, strict=True):
            for at in range(0, len(piece), _COPIED_BYTES):
                some = piece[at : at + _COPIED_BYTES]
                view[start + at : start + at + len(some)] = some
