"""The processes of a run, by what they are; they are known by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.chaos.hosts import HERE, Place

FLOW, WORKER, ZYGOTE = "flow", "worker", "zygote"
HOST, NANNY, SCHEDULER = "host", "nanny", "scheduler"
KINDS = {
    "processes": (FLOW, WORKER, ZYGOTE),
    "dask": (FLOW, WORKER, HOST),
    "cluster": (FLOW, WORKER, NANNY, SCHEDULER),
}
"""By runner, what is killed; a host is the process of a local cluster's scheduler and nannies."""
HARMLESS = frozenset((WORKER, NANNY))
"""Whose death changes nothing of what comes out; after any other the run has to be resumed."""


class Started:
    """A process that was started for a round, and all that it started."""

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        mark: str,
        log: Path,
        place: Place = HERE,
    ) -> None:
        self.mark = f"CHAOS_MARK={mark}".encode()
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*place.prefix, sys.executable, *arguments],
                env={**environment, "CHAOS_MARK": mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def goes_on(self) -> bool:
        """Whether the process itself is there."""
        return self.process.poll() is None

    def alive(self) -> set[int]:
        """It and all that it started, as far as they are alive."""
        numbers = map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208
        return {pid for pid in numbers if _has_mark(pid, self.mark)}

    def children(self, generation: int) -> set[int]:
        """Its children (1), their children (2)."""
        alive, found = self.alive(), {self.process.pid}
        for _ in range(generation):
            found = {pid for pid in alive if _parent(pid) in found}
        return found

    def kill_all(self) -> None:
        """Leave nothing of it."""
        for pid in self.alive():
            kill(pid)
        self.process.wait()


def _has_mark(pid: int, mark: bytes) -> bool:
    place = Path("/proc") / str(pid)
    try:
        environment = (place / "environ").read_bytes().split(b"\0")
        return mark in environment and ") Z" not in (place / "stat").read_text()
    except OSError:
        return False


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def kill(pid: int) -> bool:
    """Kill a process; whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False
