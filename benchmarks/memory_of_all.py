"""The peak of the memory of this process and all its descendants together, while they work.

A thread looks every few milliseconds. Counted are anonymous pages, each shared one in parts, and
files in shared memory, whoever made them; code and other files are not. Linux only, else it is 0.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType

_PROCESSES = Path("/proc")
_SHARED = Path("/dev/shm")
_PERIOD_SECONDS = 0.010


class MemoryOfAll:
    """A block that is watched; `grown_bytes` is how far memory rose above what it was before."""

    grown_bytes = 0

    def __enter__(self) -> MemoryOfAll:
        self._start_bytes = memory_of_all()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(_PERIOD_SECONDS)
            self.grown_bytes = max(self.grown_bytes, memory_of_all() - self._start_bytes)


def memory_of_all() -> int:
    """Bytes in use now."""
    return sum(_anonymous_bytes(process) for process in _family(os.getpid())) + _shared_bytes()


def _family(process: int) -> list[int]:
    """A process and all its descendants."""
    children = defaultdict(list)
    for folder in _PROCESSES.glob("[0-9]*"):
        try:
            # the name in brackets may hold anything
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children[int(parent)].append(int(folder.name))
    found = [process]
    for member in found:
        found += children[member]
    return found


def _anonymous_bytes(process: int) -> int:
    try:
        lines = (_PROCESSES / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:"))


def _shared_bytes() -> int:
    if not _SHARED.exists():
        return 0
    room = os.statvfs(_SHARED)
    return (room.f_blocks - room.f_bfree) * room.f_frsize
