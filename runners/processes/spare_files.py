"""Files of shared memory that have done their duty, for the next large values.

To write 100 MB into new shared memory takes 36 ms, into memory that was written before 18, and 8 if
the same process wrote it (``dataflow.worker.file_maps``): the system has to find every page, and to
clear what is new. So a file whose values nobody needs any more is kept for a while. Whoever reads a
file holds a shared lock on it for as long as its values are in use, in whichever process: a file
that somebody still reads is never written again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from dataflow.worker.file_maps import remove, written
from runners.processes.memory_room import share_of_memory

_PREFIX = "spare-"
OFFERED = "offered-"
"""How the names of those begin that are offered to numpy (``array_files``)."""
_LEAST_BYTES = 1_000_000
_MOST_BYTES = 1_000_000_000
_MOST_SHARE = 16


class _Spare(NamedTuple):
    size: int
    path: Path
    inode: int


class SpareFiles:
    """The spare files of a folder.

    Args:
        folder: where values are put, by all processes of a pool.
        most_bytes: how much is kept at most; None: a gigabyte, or a sixteenth of the memory.
        on_first: called when there is one, and has been none: somebody should clear them one day.

    Attributes:
        has_any: whether this process has kept any since it removed them all.
    """

    def __init__(
        self,
        folder: str,
        most_bytes: int | None = None,
        on_first: Callable[[], object] = lambda: None,
    ) -> None:
        self._pid = os.getpid()  # what a forked copy of this process lets go of, this one may need
        self._folder = Path(folder)
        if most_bytes is None:
            most_bytes = share_of_memory(_MOST_SHARE, _MOST_BYTES)
        self._most_bytes = most_bytes
        self._on_first = on_first
        self._numbers = count(1)
        self.has_any = False

    def keep(self, path: str) -> None:
        """Nobody needs this file any more: keep it for others, or remove it."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):  # it may be gone, and so may the folder
            size = Path(path).stat().st_size
            is_here = Path(path).parent == self._folder  # and not on disk
            if is_here and size >= _LEAST_BYTES and self._others(path) + size <= self._most_bytes:
                name = f"{_PREFIX}{size}-{os.getpid()}-{next(self._numbers)}"
                Path(path).rename(self._folder / name)
                if not self.has_any:
                    self.has_any = True
                    self._on_first()
            else:
                remove(path)

    def claim(self, path: str, size: int) -> int | None:
        """Make a spare file of that size, or somewhat more, the file at ``path``.

        Returns:
            Its descriptor, for writing; None: there is no such file.
        """
        for spare in self._fitting(size):
            try:
                spare.path.rename(path)  # from here on nobody else can have it
                descriptor = os.open(path, os.O_RDWR)
            except OSError:
                with contextlib.suppress(OSError):  # it could not be opened
                    Path(path).unlink()
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # somebody still reads it
                os.close(descriptor)
                remove(path)
                continue
            return descriptor
        return None

    def clear(self) -> None:
        """Remove them all."""
        self.has_any = False
        for spare in list(self._files()) if os.getpid() == self._pid else ():
            with contextlib.suppress(OSError):
                remove(str(spare.path))

    def close(self) -> None:
        """Keep none from now on."""
        self._most_bytes = 0
        self.clear()

    def __len__(self) -> int:
        return sum(1 for _ in self._files())

    def _fitting(self, size: int) -> list[_Spare]:
        """Those that may take so many bytes; first what this process has written before."""
        mapped = written.inodes()
        fitting = (spare for spare in self._files() if size <= spare.size <= 2 * size)
        return sorted(fitting, key=lambda spare: (spare.inode not in mapped, spare))

    def _others(self, path: str) -> int:
        """Bytes of all others that are kept; any of them may be gone a moment later."""
        found = 0
        for entry in self._entries():
            if entry.name.startswith(_PREFIX):
                found += _size_of(entry)
            elif entry.path != path:
                with contextlib.suppress(OSError):
                    found += entry.stat().st_size
        return found

    def _files(self) -> Iterator[_Spare]:
        for entry in self._entries():
            if entry.name.startswith(_PREFIX):
                yield _Spare(_size_of(entry), Path(entry.path), entry.inode())

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            yield from (entry for entry in entries if is_spare(entry.name))


def _size_of(spare: os.DirEntry[str]) -> int:
    return int(spare.name.split("-")[1])


def is_spare(name: str) -> bool:
    """Whether a file of that name is one whose values nobody needs."""
    return name.startswith((_PREFIX, OFFERED))
