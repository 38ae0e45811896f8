"""One round on hosts: a flow runs, there is trouble, the run completes in the end; then checks.

What a run can live with, it must complete with. After what it cannot, it must end in a true state,
and complete when it is resumed on another cluster. Nothing may take for ever.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import checks, flows
from tests.chaos.checks import Stop
from tests.chaos.evidence import Recorded, announced, count_calls
from tests.chaos.far_plans import FarPlan, Planned
from tests.chaos.far_scene import FarScene
from tests.chaos.troubles import TROUBLES, End
from tests.chaos.victims import Started
from tests.chaos.watchdog import wait_until, what_it_waits_for

ROOT = Path(__file__).parents[2]
_LIFE_SECONDS = 150.0
_CALM_SECONDS = 30.0
_PROGRAM = ["-m", "tests.chaos.program"]


@dataclass
class FarOutcome:
    """What came of a round.

    Attributes:
        troubles: those that there were.
        lives: how many processes the run had.
        reused: results that were not computed again, all resumes together.
        announced: states that were seen.
        deaths: deaths of workers that the run's logs tell of.
        slowest: how long the longest life was.
        broken: promises that were broken.
    """

    troubles: list[str] = field(default_factory=list)
    lives: int = 0
    reused: int = 0
    announced: int = 0
    deaths: list[str] = field(default_factory=list)
    slowest: float = 0.0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


def play(plan: FarPlan, folder: Path) -> FarOutcome:
    """Play a round in an empty folder."""
    begun = time.monotonic()
    stage = _Stage(plan, folder)
    try:
        stage.play()
    finally:
        stage.close()
    stage.outcome.seconds = time.monotonic() - begun
    return stage.outcome


class _Stage:
    def __init__(self, plan: FarPlan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.store = str(folder / "home" / "dataflow.db")
        self.outcome = FarOutcome()
        self.troubles = list(plan.troubles)
        self.stops: list[Stop] = []
        self.run_id: str | None = None  # to be resumed
        self.scene = FarScene(
            folder,
            {
                **{name: value for name, value in os.environ.items() if "DATAFLOW" not in name},
                "DATAFLOW_HOME": str(folder / "home"),
                "DATAFLOW_PROGRESS": "off",
                "PYTHONPATH": str(ROOT),
                flows.FOLDER: str(folder),
            },
        )

    def close(self) -> None:
        self.scene.close()

    def play(self) -> None:
        while not (self._live() or self.outcome.broken):
            self.scene.use_another_cluster()
        self.outcome.announced = sum(1 for _ in announced(self.folder))
        if not self.outcome.broken:
            wanted = flows.undisturbed(self.plan.size, self.plan.large_bytes)
            deaths = sum(TROUBLES[name].deaths for name in self.outcome.troubles)
            self.outcome.broken += [
                *checks.when_completed(self.folder, wanted, self.stops, deaths),
                *checks.damage(self.store),
            ]

    def _live(self) -> bool:
        """Begin the run, or let it go on; whether it has completed."""
        life = _Life(self)
        names = life.disturb()
        self.outcome.troubles += names
        self.outcome.lives += 1
        seconds = life.seconds
        self.outcome.slowest = max(self.outcome.slowest, seconds)
        if life.program.goes_on:
            recorded = Recorded(self.folder, self.store)
            waits = what_it_waits_for(life.program, recorded, life.log)
            self.outcome.broken.append(
                f"the flow goes on after {seconds:.0f} s: " + "\n".join(waits)
            )
            return False
        if not wait_until(lambda: not life.program.alive(), _CALM_SECONDS):
            left = sorted(life.program.alive())
            self.outcome.broken.append(f"processes are left over: {left}")
            return False
        self.scene.cluster.close()  # it may still make values again that were lost
        return self._look(names)

    def _look(self, names: list[str]) -> bool:
        """See what the store says, now that the flow's process has ended."""
        recorded = Recorded(self.folder, self.store)
        resumed = self.run_id is not None
        before = self.stops[-1].recorded if self.stops else None
        self.stops.append(Stop(recorded, tuple(names), resumed))
        self.outcome.broken += checks.after_an_end(self.folder, recorded, before)
        if resumed:
            self.outcome.reused = sum(sum(recorded.reused(each)) for each in recorded.runs)
        can_go_on = not any(TROUBLES[name].ends_run for name in names)
        if recorded.main is None:
            if can_go_on:
                self.outcome.broken.append("the flow did not begin, though it could")
            return False
        self.outcome.deaths = list(recorded.deaths())
        unknown = [each for each in self.outcome.deaths if "nobody" in each]
        self.outcome.broken += [f"a death has no cause: {each}" for each in unknown]
        if recorded.main.state.is_completed():
            return True
        if can_go_on:
            said = recorded.main.state.message
            self.outcome.broken.append(f"the flow ended {recorded.state} for no reason: {said}")
        self.run_id = recorded.main.id
        return False


class _Life:
    """One process that begins or resumes the run, and what troubles it meanwhile."""

    def __init__(self, stage: _Stage) -> None:
        self.stage, self.scene = stage, stage.scene
        self.scene.calls_before = count_calls(stage.folder)
        self.begun = time.monotonic()
        number = len(stage.stops)
        self.log = stage.folder / f"life-{number}.log"
        self.program: Started = self.scene.start_program(self._arguments(), number)
        self._ends: list[tuple[float, End]] = []

    def _arguments(self) -> list[str]:
        address, plan = self.scene.cluster.address, self.stage.plan
        if self.stage.run_id is not None:
            return [*_PROGRAM, "resume", self.stage.run_id, address]
        sizes = str(plan.size), str(plan.large_bytes)
        return [*_PROGRAM, "start", str(self.stage.folder), *sizes, address]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def disturb(self) -> list[str]:
        """Do what is planned, until that ends the run; wait for the end of the process."""
        names: list[str] = []
        try:
            while self.stage.troubles and not any(TROUBLES[name].ends_run for name in names):
                if not self._wait_until(self._begins_next):
                    break
                names.append(self.stage.troubles.pop(0).name)
            self._wait_until(lambda: False)
        finally:
            for _, end in self._ends:
                end()
        return names

    def _begins_next(self) -> bool:
        """Begin the next trouble, if it is time and somebody is there for it."""
        planned = self.stage.troubles[0]
        return self._is_time(planned) and self._begin(planned)

    def _is_time(self, planned: Planned) -> bool:
        calls = count_calls(self.stage.folder) - self.scene.calls_before
        most = flows.rough_calls(self.stage.plan.size) - self.scene.calls_before
        return calls > planned.moment * max(most, 20)

    def _begin(self, planned: Planned) -> bool:
        trouble = TROUBLES[planned.name]
        end = trouble.begin(self.scene, planned.pick)
        if end is not None:
            until = float("inf") if trouble.seconds is None else time.monotonic() + trouble.seconds
            self._ends.append((until, end))
        return end is not None

    def _wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait while the flow's process lives, ending what is over; whether it came true."""
        came = False

        def is_over() -> bool:
            nonlocal came
            self._end_some()
            came = self.program.goes_on and condition()
            return came or not self.program.goes_on

        wait_until(is_over, self.begun + _LIFE_SECONDS - time.monotonic())
        return came

    def _end_some(self) -> None:
        """End the troubles that have lasted long enough."""
        now = time.monotonic()
        for entry in [entry for entry in self._ends if entry[0] < now]:
            self._ends.remove(entry)
            entry[1]()
