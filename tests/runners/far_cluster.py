"""A Dask cluster whose processes were started elsewhere, and programs that use it.

Its processes run in a folder of their own, without ``PYTHONPATH``: of what the programs import they
have nothing but what is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from cluster.connecting import connect
from tests.cluster.real_servers import started

_SECONDS = 60


class FarCluster:
    """A scheduler and its workers.

    Args:
        folder: where they run.
        stack: ends them.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._place = folder / "scheduler.json"
        self._count = 0
        options = ["--no-dashboard", "--port", "0", "--host", "127.0.0.1"]
        self._start("dask_scheduler", *options)
        self.address = self._wait_for_address()

    def start_worker(self, threads: int = 1, *more: str) -> None:
        """Have one worker more, with more arguments of ``dask worker``."""
        options = ["--nthreads", str(threads), "--no-dashboard", "--no-nanny", *more]
        self._start("dask_worker", *options, "--local-directory", str(self.folder / "scratch"))

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many are there: they take seconds to start."""
        with self.client() as client:
            client.wait_for_workers(count, timeout=_SECONDS)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of it."""
        found = connect(self.address)
        try:
            yield found
        finally:
            found.close()

    def _start(self, module: str, *options: str) -> None:
        self._count += 1
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-m", f"distributed.cli.{module}"]
        command = ["env", "-C", str(self.folder), "-u", "PYTHONPATH", *command]
        log = self.folder / f"log-{self._count}"
        place = ["--scheduler-file", str(self._place)]
        self._stack.enter_context(started([*command, *place, *options], log, **environment))

    def _wait_for_address(self) -> str:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                address: str = json.loads(self._place.read_text())["address"]
                return address
            except (OSError, ValueError):
                assert time.monotonic() < deadline, (self.folder / "log-1").read_text()
                time.sleep(0.05)


@contextmanager
def far_cluster(folder: Path, *threads: int) -> Iterator[FarCluster]:
    """A cluster with a worker for each number of threads; they are there."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        cluster = FarCluster(folder, stack)
        for number in threads:
            cluster.start_worker(number)
        if threads:
            cluster.wait_for_workers(len(threads))
        yield cluster


def write_files(folder: Path, files: dict[str, str]) -> Path:
    """Write texts into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


@contextmanager
def program_in(
    folder: Path, *arguments: str, python: str = sys.executable
) -> Iterator[subprocess.Popen[str]]:
    """Python that runs in a folder, with a home of its own beside it; it does not outlive this.

    It writes no bytecode, which would be as old as a file that is written anew at once.
    """
    own = {"DATAFLOW_HOME": str(folder.parent / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [python, *arguments],
        cwd=folder,
        env={**os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def result_of(program: subprocess.Popen[str], told: str = "") -> Any:
    """What a program printed last, as JSON, after it was told something on its standard input."""
    out, err = program.communicate(told, timeout=_SECONDS)
    assert program.returncode == 0, f"{out}\n{err}"
    return json.loads(out.splitlines()[-1])


def run_program(folder: Path, *arguments: str, **options: Any) -> Any:
    """Run Python in a folder; what it printed last, as JSON."""
    with program_in(folder, *arguments, **options) as program:
        return result_of(program)
