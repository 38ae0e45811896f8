"""Files for the large values of a pool: in shared memory while there is room, else on disk.

A file stays where it was written. So what is made while memory is short goes to disk at once, and
is read from there through the system's cache of pages, while what lies in memory makes room as it
is used up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dataflow.errors import StorageError
from dataflow.full_disk import is_full
from dataflow.worker.columns import PackedColumn
from dataflow.worker.file_columns import FileColumn, write_file
from runners.processes.array_files import ArrayFiles
from runners.processes.memory_room import available_bytes, total_bytes
from runners.processes.spare_files import SpareFiles, is_spare

_RESERVED_SHARE = 0.15  # of the memory: for what processes need themselves
_SPARE_SHARE = 0.05  # of what shared memory can take: for the boards of the workers


class Folders(NamedTuple):
    """Where a pool's large values are put, and how many bytes of them in memory at most.

    The two are the same where the system has no shared memory with names.
    """

    memory: str
    disk: str
    memory_limit: int

    def remove_empty(self) -> None:
        """Remove those in which nothing is left."""
        for folder in (self.memory, self.disk):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


class ValueFiles:
    """The files of one pool, as one of its processes sees them.

    Args:
        folders: where they are.
        on_first_spare: called when this process keeps a file that may be written again.
        available: how many bytes of memory can be taken yet.
    """

    def __init__(
        self,
        folders: Folders,
        on_first_spare: Callable[[], object] = lambda: None,
        available: Callable[[], int] = available_bytes,
    ) -> None:
        self.folders = folders
        self.spare = SpareFiles(folders.memory, on_first=on_first_spare)
        self._has_memory = folders.memory != folders.disk
        self.arrays = ArrayFiles(folders.memory if self._has_memory else None, self.spare)
        self._available = available
        self._reserved = int(total_bytes() * _RESERVED_SHARE)

    def write(self, column: PackedColumn, name: str, shared: bool = False) -> FileColumn:
        """Move a packed column into a file.

        Args:
            column: what is moved.
            name: that of the file, which no other has.
            shared: whether all calls of a process may get the same objects.

        Raises:
            StorageError: there is no room on the disk either.
        """
        memory, disk = self.folders.memory, self.folders.disk
        if self._has_memory and self._fits(column.nbytes):
            try:
                claim, adopt = self.arrays.claim, self.arrays.adopt
                return write_file(column, f"{memory}/{name}", shared, claim, adopt)
            except OSError as error:  # others were quicker
                if not is_full(error):
                    raise
        self.arrays.tidy()
        self.spare.clear()
        try:
            Path(disk).mkdir(parents=True, exist_ok=True)
            return write_file(column, f"{disk}/{name}", shared)
        except OSError as error:
            raise StorageError(
                f"A value of {column.nbytes:,} bytes found no room, neither in shared memory nor "
                f"in {disk}: {error.strerror or error}.",
                hint="Make room there, set DATAFLOW_SPILL_FOLDER to a folder on a larger disk, "
                "or let tasks return less.",
            ) from error

    def _fits(self, nbytes: int) -> bool:
        """Whether shared memory may take so many bytes more."""
        place = os.statvfs(self.folders.memory)
        most = place.f_blocks * place.f_frsize
        if place.f_bavail * place.f_frsize - nbytes < most * _SPARE_SHARE:
            return False
        if self._available() - nbytes < self._reserved:
            return False
        return self._used() + nbytes <= self.folders.memory_limit

    def _used(self) -> int:
        used = 0
        with contextlib.suppress(OSError), os.scandir(self.folders.memory) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # it is gone by now
                    used += 0 if is_spare(entry.name) else entry.stat().st_size
        return used
