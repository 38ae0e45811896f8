"""Columns of values in files: copied once into shared memory, or to disk, and read in place."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from dataflow.errors import ResultMissing
from dataflow.worker.columns import PackedColumn, PickledColumn
from dataflow.worker.file_maps import map_to_read, map_to_write, may_map, remove
from dataflow.worker.loading import load_pickle

APART_BYTES = 8_000_000
"""Buffers from this size on have a file each."""
_ALIGN = 64
_MAPPED_BYTES = 200_000  # less is copied sooner
_COPIED_BYTES = 16_000_000  # at once: other threads have to wait for it
_MOST_SHARED = 16
_shared: dict[str, list[Any]] = {}  # what every call of this process reads, last used last

Place = tuple[int, int, int]
"""Where a piece of a pickled value is: in which file of a column, from which byte on, how many."""
Claim = Callable[[str, int], int | None]
Adopt = Callable[[memoryview, str], int | None]


class FileColumn(PickledColumn):
    """A packed column in a file, or several, read through private memory maps.

    Large values are copied once into shared memory, or were made there, and are read in place; they
    never pass through the flow's process. The maps are copy-on-write: arrays in them can be written
    to without a copy made beforehand, and nobody else sees what was written. While values in a map
    are in use its file is locked, so that it is not written again (see
    ``runners.processes.spare_files``). What is small is copied instead. What every element of a map
    gets (``unmapped``) is *shared*: loaded once by each worker.
    """

    __slots__ = ("layout", "paths", "size")

    def __init__(
        self,
        paths: Sequence[str],
        size: int,
        layout: list[list[Place]],
        count: int,
        exact: bool,
        shared: bool = False,
    ) -> None:
        super().__init__(count, exact, shared)
        self.paths = paths
        self.size = size
        self.layout = layout

    @property
    def nbytes(self) -> int:
        """Bytes of the values in the files."""
        return self.size

    def load(self, position: int) -> Any:
        """The value at ``position``; a shared one is loaded once in a process."""
        if self.shared:
            return self._load_shared()[position]
        return super().load(position)

    def _load_shared(self) -> list[Any]:
        key = self.paths[0]
        values = _shared.pop(key, None)
        if values is None:
            values = self._load_pickles(range(self._count))
        _shared[key] = values
        while len(_shared) > _MOST_SHARED:
            del _shared[next(iter(_shared))]
        return values

    def _load_pickles(self, numbers: Iterable[int]) -> list[Any]:
        layouts = [self.layout[number] for number in numbers]
        views = {}
        for file, places in groupby(sorted(chain.from_iterable(layouts)), key=itemgetter(0)):
            _, starts, sizes = zip(*places, strict=True)
            wanted = range(starts[0], starts[-1] + sizes[-1])
            views[file] = self._open(self.paths[file], wanted), wanted.start
        found = []
        for layout in layouts:
            pieces = []
            for file, start, size in layout:
                view, first = views[file]
                pieces.append(view[start - first : start - first + size])
            data, *buffers = pieces
            found.append(load_pickle(data, buffers))
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self.paths, self.size, self.layout, self._count, self.exact, self.shared
        return FileColumn, parts

    def _open(self, path: str, wanted: range) -> memoryview:
        """These bytes of a file, which may be written to."""
        read = map_to_read if len(wanted) >= _MAPPED_BYTES and may_map() else _copied
        try:
            return read(path, wanted)
        except FileNotFoundError:
            raise ResultMissing(
                f"The values in {path} are gone.",
                hint="They live as long as the run that made them; persist results to keep them.",
            ) from None


def _copied(path: str, wanted: range) -> memoryview:
    """A copy of these bytes; no lock, since it is the column that is read, and it has the file."""
    found = memoryview(bytearray(len(wanted)))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        done = 0
        while done < len(found):  # the system reads two gigabytes at once, at most
            some = os.preadv(descriptor, [found[done:]], wanted.start + done)
            if not some:
                raise FileNotFoundError(path)
            done += some
    finally:
        os.close(descriptor)
    return found


def _nowhere(_path: str, _size: int) -> None:
    """There is no file that could be written again."""


def _not_there(_buffer: memoryview, _path: str) -> None:
    """A buffer lies in no file yet."""


def write_file(
    column: PackedColumn,
    path: str,
    shared: bool = False,
    claim: Claim = _nowhere,
    adopt: Adopt = _not_there,
) -> FileColumn:
    """Move a packed column into a file (in shared memory, if ``path`` is there): one copy.

    Args:
        column: what is moved.
        path: where the file is to be; what is large is beside it.
        shared: whether all calls of a process may get the same objects.
        claim: given the path and how many bytes are needed, makes a file that was there before the
            one at this path, and returns its descriptor; None: a new one has to be made.
        adopt: given a large buffer and a path, makes the file in which the buffer lies the one at
            this path, and returns from which byte on it does; None: it has to be copied.

    Raises:
        OSError: there is no room.
    """
    paths: list[str] = [path]
    layout: list[list[Place]] = []
    together: list[tuple[int, memoryview]] = []
    at = size = 0
    try:
        for part in column.parts:
            places = []
            for piece in part.pieces():
                view = memoryview(piece).cast("B")
                size += len(view)
                if len(view) >= APART_BYTES:
                    places.append((len(paths), _leave(view, paths, claim, adopt), len(view)))
                else:
                    places.append((0, at, len(view)))
                    together.append((at, view))
                    at += -(-len(view) // _ALIGN) * _ALIGN
            layout.append(places)
        _fill(path, max(at, 1), together, claim)
    except BaseException:  # a time limit, or Ctrl-C: half a column is of no use either
        for each in paths:
            with contextlib.suppress(FileNotFoundError):
                remove(each)
        raise
    return FileColumn(paths, size, layout, column.count, column.exact, shared)


def _leave(view: memoryview, paths: list[str], claim: Claim, adopt: Adopt) -> int:
    """Leave a large buffer in a file of its own, the next of the paths; where in it."""
    path = f"{paths[0]}-{len(paths)}"
    paths.append(path)
    start = adopt(view, path)
    if start is not None:
        return start
    _fill(path, len(view), [(0, view)], claim)
    return 0


def _fill(
    path: str,
    size: int,
    pieces: Iterable[tuple[int, memoryview]],
    claim: Claim,
) -> None:
    """Make a file of so many bytes, with these pieces in it."""
    descriptor = claim(path, size)
    is_new = descriptor is None
    if descriptor is None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if is_new:
            _allocate(descriptor, size)
            _write(descriptor, pieces)
        else:
            _copy(path, pieces)
    finally:  # a process that a task has forked may have the descriptor for longer, and the lock
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _allocate(descriptor: int, size: int) -> None:
    """Find room for so many bytes; where the system has no way to ask, it is found as they come."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def _write(descriptor: int, pieces: Iterable[tuple[int, memoryview]]) -> None:
    for start, piece in pieces:
        done = 0
        while done < len(piece):
            done += os.pwrite(descriptor, piece[done:], start + done)


def _copy(path: str, pieces: Iterable[tuple[int, memoryview]]) -> None:
    """Write to a file that was written before: its pages are mapped, and stay so."""
    with map_to_write(path) as view:
        for start, piece in pieces:
            for at in range(0, len(piece), _COPIED_BYTES):
                some = piece[at : at + _COPIED_BYTES]
                view[start + at : start + at + len(some)] = some
