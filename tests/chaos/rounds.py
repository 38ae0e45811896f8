"""One round: a flow begins, processes are killed at random moments, then all is checked."""

from __future__ import annotations

import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import checks
from tests.chaos.victims import (
    FLOW,
    HARMLESS,
    HOST,
    KINDS,
    NANNY,
    SCHEDULER,
    WORKER,
    Cluster,
    Started,
    host_of,
    kill,
)

ROOT = Path(__file__).parents[2]
WATCHDOG_SECONDS = 90.0
_CALM_SECONDS = 30.0


@dataclass
class Round:
    """What is done in a round, and what came of it."""

    runner: str
    size: int
    kills: list[str]
    random: random.Random
    killed: list[str] = field(default_factory=list)
    announced: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def is_fatal(self) -> bool:
        """Whether somebody was killed without whom the flow cannot end well."""
        return not HARMLESS.issuperset(self.killed)


def plan_round(runner: str, seed: str, most_kills: int) -> Round:
    """A round that follows from its seed, as far as processes and clocks let it."""
    chance = random.Random(seed)
    kills: list[str] = []
    for _ in range(min(chance.randint(1, 3), most_kills)):
        kills.append(chance.choice(KINDS[runner]))
        if kills[-1] not in HARMLESS:
            break
        if kills.count(NANNY) > 1:  # one of two workers has to remain
            kills[-1] = WORKER
    return Round(runner, chance.randint(40, 120), kills, chance)


def play(plan: Round) -> Round:
    """Play a round; what was broken stands in it."""
    with tempfile.TemporaryDirectory(prefix="dataflow-chaos-") as name:
        begun = time.monotonic()
        _Stage(plan, Path(name)).play()
        plan.seconds = time.monotonic() - begun
    return plan


class _Stage:
    def __init__(self, plan: Round, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        for each in ("calls", "workers", "home"):
            (folder / each).mkdir()
        self.store = folder / "home" / "dataflow.db"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "DATAFLOW" not in name},
            "DATAFLOW_HOME": str(folder / "home"),
            "DATAFLOW_WORKERS": "2",
            "DATAFLOW_PROGRESS": "off",
            "PYTHONPATH": str(ROOT),
        }
        self.cluster: Cluster | None = None

    def play(self) -> None:
        if self.plan.runner == "cluster":
            self.cluster = Cluster(self.folder, self.environment)
        runner = self.cluster.address if self.cluster else self.plan.runner
        arguments = [str(self.folder), str(self.plan.size), runner]
        self.program = Started(
            ["-m", "tests.chaos.program", *arguments],
            self.environment,
            f"{self.folder}/program",
            self.folder / "program.log",
        )
        try:
            self._disturb()
            self._wait_for_end()
            self.plan.broken += self._check()
        finally:
            self.program.kill_all()
            if self.cluster is not None:
                self.cluster.close()

    def _disturb(self) -> None:
        self._wait(lambda: any((self.folder / "workers").iterdir()), WATCHDOG_SECONDS)
        for kind in self.plan.kills:
            time.sleep(self.plan.random.uniform(0, 1.2))
            victims = sorted(self._victims(kind))
            if victims and self._goes_on() and kill(self.plan.random.choice(victims)):
                self.plan.killed.append(kind)

    def _victims(self, kind: str) -> set[int]:
        main = self.program.process.pid
        if kind == FLOW:
            return {main}
        if kind == HOST:
            return host_of(self.program)
        if kind == WORKER:
            known = {int(path.name) for path in (self.folder / "workers").iterdir()}
            return (known & self._alive()) - {main}
        assert self.cluster is not None
        started = self.cluster.nannies if kind == NANNY else [self.cluster.scheduler]
        assert kind in (NANNY, SCHEDULER)
        return {each.process.pid for each in started if each.process.poll() is None}

    def _alive(self) -> set[int]:
        alive = self.program.alive()
        for nanny in self.cluster.nannies if self.cluster else ():
            alive |= nanny.alive()
        return alive

    def _goes_on(self) -> bool:
        return self.program.process.poll() is None

    def _wait_for_end(self) -> None:
        if not self._wait(lambda: not self._goes_on(), WATCHDOG_SECONDS):
            self.plan.broken.append(f"the flow goes on after {WATCHDOG_SECONDS:g} seconds")
        elif not self._wait(lambda: not self.program.alive(), _CALM_SECONDS):
            self.plan.broken.append(f"processes are left over: {sorted(self.program.alive())}")

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _check(self) -> Iterator[str]:
        if self.plan.broken or not self.store.exists():
            return
        announced = self.folder / "announced"
        self.plan.announced = len(announced.read_text().splitlines()) if announced.exists() else 0
        yield from checks.unended_runs(self.store)
        yield from checks.missing_announcements(self.folder, self.store)
        yield from checks.repeated_completions(self.store)
        if not self.plan.is_fatal:
            yield from checks.wrong_outcome(self._outcome(), self.plan.size)
            yield from checks.wrong_calls(self.folder, self.plan.size, len(self.plan.killed))

    def _outcome(self) -> dict[str, Any] | None:
        with contextlib.suppress(OSError):
            outcome: dict[str, Any] = json.loads((self.folder / "outcome").read_text())
            return outcome
        return None
