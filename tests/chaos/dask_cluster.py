"""A Dask cluster of one scheduler and two workers, each with its nanny, all processes apart."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from tests.chaos.victims import Started

_START_SECONDS = 60.0


class Cluster:
    """One cluster; what of it was killed stays dead until :meth:`repair`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._count = 0
        self._start()

    def _start(self) -> None:
        self._count += 1
        self._place = self._folder / f"scheduler-{self._count}.json"
        scheduler = ["--no-dashboard", "--port", "0", "--host", "127.0.0.1"]
        self.scheduler = self._run("dask_scheduler", *scheduler)
        self.nannies = [self._start_nanny() for _ in range(2)]
        self.address = self._wait_for_address()

    def _start_nanny(self) -> Started:
        return self._run(
            "dask_worker", "--nthreads", "1", "--no-dashboard", "--death-timeout", "20"
        )

    def _run(self, module: str, *arguments: str) -> Started:
        self._count += 1
        return Started(
            ["-m", f"distributed.cli.{module}", "--scheduler-file", str(self._place), *arguments],
            self._environment,
            f"{self._folder}/cluster-{self._count}",
            self._folder / "cluster.log",
        )

    def _wait_for_address(self) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                address: str = json.loads(self._place.read_text())["address"]
                return address
            time.sleep(0.05)
        raise RuntimeError("the scheduler did not start")

    def repair(self) -> None:
        """As its owner would: a new one for a scheduler that is gone, and for each nanny."""
        if not self.scheduler.goes_on:
            self.close()
            self._start()
            return
        for number, nanny in enumerate(self.nannies):
            if not nanny.goes_on:
                nanny.kill_all()
                self.nannies[number] = self._start_nanny()

    def alive(self) -> set[int]:
        """All its processes."""
        return set().union(*(each.alive() for each in (self.scheduler, *self.nannies)))

    def close(self) -> None:
        """End it."""
        for started in (*self.nannies, self.scheduler):
            started.kill_all()
