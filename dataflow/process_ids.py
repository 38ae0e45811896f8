"""Which process is meant, also when its number has been given to another one since.

A number means something only in one place: on one machine, since it was started, in one namespace
of process numbers (containers have their own). Whether a process of another place lives cannot be
seen from here; its sign of life has to be waited for.
"""

from __future__ import annotations

import contextlib
import os
import socket
from functools import lru_cache
from typing import NamedTuple


class ProcessId(NamedTuple):
    """One process.

    Attributes:
        place: where its number means something.
        pid: the number.
        started: when it began, in the system's own count; empty where the system does not tell.
    """

    place: str
    pid: int
    started: str


def this_process() -> ProcessId:
    """The process that asks (a forked child is another one)."""
    return _process(os.getpid())


def is_gone(process: ProcessId) -> bool | None:
    """Whether a process has ended; None: it belongs to another place."""
    if process.place != _place():
        return None
    started = _started(process.pid)
    if started is not None:
        return started != process.started
    if os.path.isdir("/proc/self"):  # noqa: PTH112 - asked often, and a Path costs more
        return True
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@lru_cache(maxsize=1)
def _process(pid: int) -> ProcessId:
    return ProcessId(_place(), pid, _started(pid) or "")


@lru_cache(maxsize=1)
def _place() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 - light
            parts.append(file.read().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))  # noqa: PTH115
    return "/".join(parts)


def _started(pid: int) -> str | None:
    """When a process that runs began; None: there is none (or it only waits to be buried)."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - a Path costs more than the file
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
