"""How much memory there is for values that lie in shared memory.

The machine may have less for us than it has: a container's control group counts what lies in shared
memory, and its processes are ended when that is too much.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60


def total_bytes(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """The memory that all processes here may use together."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *(limit for limit, _ in _limits(proc, groups))])


def share_of_memory(part: int, most_bytes: int) -> int:
    """One of so many equal parts of that memory, or ``most_bytes`` if that is less."""
    return min(most_bytes, total_bytes() // part)


def available_bytes(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """The memory that can be taken yet before something has to give way; much if nobody knows."""
    return min([_NO_LIMIT, *_free_on_machine(proc), *(free for _, free in _limits(proc, groups))])


def _free_on_machine(proc: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError), (proc / "meminfo").open("rb") as lines:
        for line in lines:
            if line.startswith(b"MemAvailable:"):
                yield int(line.split()[1]) * 1024
                return


def _limits(proc: Path, groups: Path) -> Iterator[tuple[int, int]]:
    """The limit of each control group that we are in, and what is left of it."""
    with contextlib.suppress(OSError, ValueError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                yield from _limits_up(groups / controllers, path.strip("/"), not controllers)


def _limits_up(root: Path, path: str, is_second: bool) -> Iterator[tuple[int, int]]:
    """From a group up to the root; inside a container the groups above it are not to be seen."""
    names = ("memory.max", "memory.current", "inactive_file")
    if not is_second:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    folder = root / path
    while True:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            limit = int((folder / names[0]).read_text())
            if limit < _NO_LIMIT:
                used = int((folder / names[1]).read_text())
                yield limit, limit - used + _statistic(folder / "memory.stat", names[2])
        if folder == root:
            return
        folder = folder.parent


def _statistic(path: Path, name: str) -> int:
    """One number of a group's statistics; pages of files that are not in use can be taken back."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
