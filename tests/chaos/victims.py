"""The processes of a run, by what they are, and a cluster whose processes are apart."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FLOW, WORKER, HOST, NANNY, SCHEDULER = "flow", "worker", "host", "nanny", "scheduler"
KINDS = {
    "processes": (FLOW, WORKER),
    "dask": (FLOW, WORKER, HOST),
    "cluster": (FLOW, WORKER, NANNY, SCHEDULER),
}
"""By runner, what is killed; a host is the process of a local cluster's scheduler and nannies."""
HARMLESS = frozenset((WORKER, NANNY))
"""Whose death changes nothing of what comes out."""


class Started:
    """A process that was started for a round, and all that it started, by a mark of their own."""

    def __init__(self, arguments: list[str], environment: dict[str, str], mark: str, log: Path):
        self.mark = f"CHAOS_MARK={mark}".encode()
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**environment, "CHAOS_MARK": mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def alive(self) -> set[int]:
        """It and all that it started, as far as they are alive."""
        numbers = map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208
        return {pid for pid in numbers if _has_mark(pid, self.mark)}

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


def kill(pid: int) -> bool:
    """Kill a process; whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def host_of(program: Started) -> set[int]:
    """The process that hosts the local cluster of a program."""
    return {pid for pid in program.alive() - {program.process.pid} if _parent(pid) == _pid(program)}


def _pid(program: Started) -> int:
    return program.process.pid


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


class Cluster:
    """A Dask cluster of one scheduler and two workers, each with its nanny, all apart."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        log, place = folder / "cluster.log", folder / "scheduler.json"
        scheduler = ["--no-dashboard", "--port", "0", "--host", "127.0.0.1"]
        file = ["--scheduler-file", str(place)]
        self.scheduler = Started(
            [
                "-m",
                "distributed.cli.dask_scheduler",
                *scheduler[1:],
                "--scheduler-file",
                str(place),
            ],
            environment,
            f"{folder}/scheduler",
            log,
        )
        worker = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "20"]
        self.nannies = [
            Started(
                ["-m", "distributed.cli.dask_worker", *worker, *file],
                environment,
                f"{folder}/nanny-{number}",
                log,
            )
            for number in range(2)
        ]
        self.address = _address(place)

    def close(self) -> None:
        """End it."""
        for started in (*self.nannies, self.scheduler):
            started.kill_all()


def _address(place: Path) -> str:
    import json

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            address: str = json.loads(place.read_text())["address"]
            return address
        time.sleep(0.05)
    raise RuntimeError("the scheduler did not start")
