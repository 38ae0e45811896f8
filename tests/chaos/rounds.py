"""One round: a flow runs, processes are killed, the run is resumed until it completes; then checks.

Each process that begins or resumes the run is a *life*. Kills go on in later lives, also while the
run is being resumed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import checks, flows
from tests.chaos.checks import Stop
from tests.chaos.dask_cluster import Cluster
from tests.chaos.evidence import Recorded, announced, calls_of, count_calls, count_each
from tests.chaos.plans import END, START, WORK, Kill, Plan
from tests.chaos.victims import (
    FLOW,
    HARMLESS,
    HOST,
    NANNY,
    SCHEDULER,
    WORKER,
    ZYGOTE,
    Started,
    kill,
)
from tests.chaos.watchdog import wait_until

ROOT = Path(__file__).parents[2]
_LIFE_SECONDS = 90.0
_CALM_SECONDS = 30.0
_START_SECONDS = {"processes": 1.2, "dask": 3.0, "cluster": 2.0}
_WORK_SECONDS = 0.02
_END_SECONDS = {FLOW: 0.3}  # its workers end earlier
_CLOSING = "closing"


@dataclass(frozen=True)
class Death:
    """Who was killed, and when in the life of the flow's process."""

    victim: str
    phase: str
    resuming: bool


@dataclass
class Outcome:
    """What came of a round.

    Attributes:
        resumes, restarts: how often the run was resumed, and begun anew as nobody had recorded it.
        reused: results that were not computed again, all resumes together.
        again: elements that were called in more than one life.
        announced: states that were seen.
        broken: promises that were broken.
    """

    deaths: list[Death] = field(default_factory=list)
    resumes: int = 0
    restarts: int = 0
    reused: int = 0
    again: int = 0
    announced: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


def play(plan: Plan, folder: Path, store: str | None = None) -> Outcome:
    """Play a round in an empty folder, with a store there or with one that is named."""
    begun = time.monotonic()
    stage = _Stage(plan, folder, store)
    try:
        stage.play()
    finally:
        stage.close()
    stage.outcome.seconds = time.monotonic() - begun
    return stage.outcome


class _Stage:
    def __init__(self, plan: Plan, folder: Path, store: str | None) -> None:
        self.plan = plan
        self.folder = folder
        self.store = store or str(folder / "home" / "dataflow.db")
        self.environment = {
            **{name: value for name, value in os.environ.items() if "DATAFLOW" not in name},
            "DATAFLOW_HOME": str(folder / "home"),
            "DATAFLOW_WORKERS": "2",
            "DATAFLOW_PROGRESS": "off",
            "PYTHONPATH": str(ROOT),
            flows.FOLDER: str(folder),
        }
        if store is not None:
            self.environment["DATAFLOW_STORE_URL"] = store
        self.outcome = Outcome()
        self.kills = list(plan.kills)
        self.stops: list[Stop] = []
        self.cluster: Cluster | None = None
        self.program: Started | None = None
        self.run_id: str | None = None  # to be resumed

    def close(self) -> None:
        if self.program is not None:
            self.program.kill_all()
        if self.cluster is not None:
            self.cluster.close()

    def play(self) -> None:
        if self.plan.runner == "cluster":
            self.cluster = Cluster(self.folder, self.environment)
        while not (self._live() or self.outcome.broken):
            if self.cluster is not None:
                self.cluster.repair()
        self.outcome.announced = sum(1 for _ in announced(self.folder))
        self.outcome.again = sum(len(lives) > 1 for lives in self._lives_of_calls().values())
        if not self.outcome.broken:
            wanted, deaths = flows.undisturbed(self.plan.size), len(self.outcome.deaths)
            self.outcome.broken += [
                *checks.when_completed(self.folder, wanted, self.stops, deaths),
                *checks.damage(self.store),
            ]

    def _lives_of_calls(self) -> dict[object, set[int]]:
        """In which lives each element was called."""
        lives: dict[object, set[int]] = {}
        start = 0
        for number, stop in enumerate(self.stops):
            for element in count_each(self.folder, start, stop.recorded.calls):
                lives.setdefault(element, set()).add(number)
            start = stop.recorded.calls
        return lives

    # --- one life --------------------------------------------------------------------------------

    def _live(self) -> bool:
        """Begin the run, or let it go on; whether it has completed."""
        life = _Life(self)
        self.program = life.program
        deaths = life.disturb()
        self.outcome.deaths += deaths
        if not wait_until(lambda: not life.program.goes_on, _LIFE_SECONDS):
            self.outcome.broken.append(f"the flow goes on after {_LIFE_SECONDS:g} seconds")
            return False
        if not wait_until(lambda: not life.program.alive(), _CALM_SECONDS):
            left = sorted(life.program.alive())
            self.outcome.broken.append(f"processes are left over: {left}")
            return False
        return self._look(deaths)

    def _look(self, deaths: list[Death]) -> bool:
        """See what the store says, now that the flow's process has ended."""
        recorded = Recorded(self.folder, self.store)
        killed = tuple(each.victim for each in deaths)
        resumed = self.run_id is not None
        self.stops.append(Stop(recorded, killed, resumed))
        before = self.stops[-2].recorded if len(self.stops) > 1 else None
        self.outcome.broken += checks.after_an_end(self.folder, recorded, before)
        if resumed:
            self.outcome.resumes += 1
            self.outcome.reused = sum(sum(recorded.reused(each)) for each in recorded.runs)
        elif len(self.stops) > 1:
            self.outcome.restarts += 1
        if recorded.main is None:
            if HARMLESS.issuperset(killed):
                self.outcome.broken.append("the flow did not begin, though nobody killed it")
            return False
        if recorded.main.state.is_completed():
            if deaths and deaths[-1].victim == FLOW:
                self.outcome.deaths[-1] = Death(FLOW, _CLOSING, deaths[-1].resuming)
            return True
        if HARMLESS.issuperset(killed):
            said = recorded.main.state.message
            self.outcome.broken.append(f"the flow ended {recorded.state} for no reason: {said}")
        self.run_id = recorded.main.id
        return False


class _Life:
    """One process that begins or resumes the run, and whoever kills meanwhile."""

    def __init__(self, stage: _Stage) -> None:
        self.stage = stage
        self.resuming = stage.run_id is not None
        self.calls_before = count_calls(stage.folder)
        self.begun = time.monotonic()
        number = len(stage.stops)
        self.program = Started(
            self._arguments(stage.run_id, number),
            stage.environment,
            f"{stage.folder}/life-{number}",
            stage.folder / f"life-{number}.log",
        )

    def _arguments(self, run_id: str | None, number: int) -> list[str]:
        plan, cluster = self.stage.plan, self.stage.cluster
        runner = plan.runner if cluster is None else cluster.address
        program = ["-m", "tests.chaos.program"]
        if run_id is None:
            sizes = str(plan.size), str(flows.LARGE_BYTES)
            return [*program, "start", str(self.stage.folder), *sizes, runner]
        if cluster is None and plan.by_command[number % len(plan.by_command)]:
            return ["-m", "dataflow", "runs", "resume", run_id, "--runner", runner]
        return [*program, "resume", run_id, runner]

    def disturb(self) -> list[Death]:
        """Kill what is planned, until that ends the flow."""
        deaths: list[Death] = []
        kills = self.stage.kills
        while kills and self.program.goes_on:
            self._wait_for(kills[0])
            if not self._wait_until(lambda: bool(self._victims(kills[0].victim))):
                break
            planned = kills.pop(0)
            victims = sorted(self._victims(planned.victim))
            phase = self._phase()
            if victims and kill(victims[int(planned.pick * len(victims))]):
                deaths.append(Death(planned.victim, phase, self.resuming))
                if planned.victim not in HARMLESS:
                    break
        return deaths

    def _wait_for(self, planned: Kill) -> None:
        """Wait for the moment of a kill; its place in the life of the process is random."""
        if planned.phase == START:
            seconds = _START_SECONDS[self.stage.plan.runner]
            later = planned.moment * seconds - (time.monotonic() - self.begun)
        elif planned.phase == WORK:
            most = flows.rough_calls(self.stage.plan.size) - self.calls_before
            wanted = 1 + int(planned.moment * max(most, 20))
            self._wait_until(lambda: self._calls() >= wanted or self._has_ended())
            later = planned.pick * _WORK_SECONDS
        else:
            self._wait_until(self._has_ended)
            later = planned.moment * _END_SECONDS.get(planned.victim, 0.02)
        deadline = time.monotonic() + later
        self._wait_until(lambda: time.monotonic() >= deadline)

    def _wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait while the flow's process lives; whether it came true."""
        return (
            wait_until(lambda: condition() or not self.program.goes_on, _LIFE_SECONDS)
            and condition()
        )

    def _calls(self) -> int:
        return count_calls(self.stage.folder) - self.calls_before

    def _has_ended(self) -> bool:
        """Whether the body has seen all of its tasks end."""
        place = self.stage.folder / flows.ENDS
        return place.exists() and str(self.program.process.pid) in place.read_text().split()

    def _phase(self) -> str:
        if self._has_ended():
            return END
        return WORK if self._calls() else START

    def _victims(self, kind: str) -> set[int]:
        main, cluster = self.program.process.pid, self.stage.cluster
        if not self.program.goes_on:
            return set()
        if kind == FLOW:
            return {main}
        if kind in (ZYGOTE, HOST):
            return self.program.children(1)
        if kind == WORKER and self.stage.plan.runner == "processes":
            return self.program.children(2)
        if kind == WORKER:  # those that have made calls in this life
            known = {pid for _, pid in calls_of(self.stage.folder, self.calls_before)}
            alive = self.program.alive() if cluster is None else cluster.alive()
            return (known & alive) - {main}
        assert cluster is not None
        assert kind in (NANNY, SCHEDULER)
        started = cluster.nannies if kind == NANNY else [cluster.scheduler]
        return {each.process.pid for each in started if each.goes_on}


def phases_of(deaths: list[Death]) -> Counter[str]:
    """How many were killed in which phase of a run."""
    return Counter(f"{'resume, ' if each.resuming else ''}{each.phase}" for each in deaths)


def describe(deaths: list[Death]) -> Iterator[str]:
    """Each death in words."""
    for each in deaths:
        yield f"{each.victim} ({'resume, ' if each.resuming else ''}{each.phase})"
