"""A Dask cluster of one scheduler and some workers, each with its nanny, all processes apart."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.hosts import HERE, Place
from tests.chaos.victims import Started

_START_SECONDS = 60.0


class Cluster:
    """One cluster; what of it was killed stays dead until :meth:`repair`.

    Args:
        folder: for its log.
        environment: of its processes.
        scheduler_on: where the scheduler runs.
        workers_on: where the workers run, one for each time that a place is named.
    """

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        scheduler_on: Place = HERE,
        workers_on: Sequence[Place] = (HERE, HERE),
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._scheduler_on = scheduler_on
        self._workers_on = workers_on
        self._count = 0
        self.start()

    def start(self) -> None:
        """Start another one."""
        self._count += 1
        self._place = self._folder / f"scheduler-{self._count}.json"
        scheduler = ["--no-dashboard", "--port", "0", "--host", self._scheduler_on.address]
        self.scheduler = self._run("dask_scheduler", self._scheduler_on, *scheduler)
        self.nannies = [self.start_nanny(place) for place in self._workers_on]
        self.address = self._wait_for_address()

    def start_nanny(self, place: Place = HERE) -> Started:
        """One more, and its worker."""
        options = "--nthreads", "1", "--no-dashboard", "--death-timeout", "20"
        return self._run("dask_worker", place, *options, *self.options_on(place))

    def options_on(self, place: Place) -> Iterator[str]:
        """What else a worker of that place is told."""
        return iter(())

    def _run(self, module: str, place: Place, *arguments: str) -> Started:
        self._count += 1
        return Started(
            ["-m", f"distributed.cli.{module}", "--scheduler-file", str(self._place), *arguments],
            self._environment,
            f"{self._folder}/cluster-{self._count}",
            self._folder / "cluster.log",
            place,
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
            self.start()
            return
        for number, nanny in enumerate(self.nannies):
            if not nanny.goes_on:
                nanny.kill_all()
                self.nannies[number] = self.start_nanny(self._workers_on[number])

    def alive(self) -> set[int]:
        """All its processes."""
        return set().union(*(each.alive() for each in (self.scheduler, *self.nannies)))

    def close(self) -> None:
        """End it."""
        for started in (*self.nannies, self.scheduler):
            started.kill_all()
