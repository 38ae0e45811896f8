"""A short form of the chaos program, and that its checks find what they are for."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow import records
from dataflow.limits import create_limit
from dataflow.model.states import StateCode
from dataflow.process_ids import this_process
from dataflow.store.run_store import open_store
from dataflow.store.slots import Request
from tests.chaos import __main__ as command
from tests.chaos import checks, flows
from tests.chaos.checks import Stop
from tests.chaos.evidence import Recorded, count_calls
from tests.chaos.flows import LIMIT, disturbed, undisturbed
from tests.chaos.plans import END, START, WORK, Kill, Plan, plan_round
from tests.chaos.rounds import Death, Outcome, play
from tests.chaos.victims import FLOW, HARMLESS, HOST, KINDS, NANNY, WORKER, ZYGOTE
from tests.store.samples import map_batch

SIZE = 16


def kill(victim: str, phase: str = WORK, moment: float = 0.5) -> Kill:
    return Kill(victim, phase, moment, pick=0.5)


@pytest.mark.parametrize(
    ("runner", "kills"),
    [
        ("processes", [kill(WORKER, moment=0.2), kill(FLOW), kill(FLOW, END, 0.0)]),
        ("processes", [kill(ZYGOTE), kill(FLOW, START, 0.6)]),
        ("dask", [kill(WORKER, moment=0.1), kill(HOST)]),
    ],
)
def test_nothing_is_lost(runner: str, kills: list[Kill], tmp_path: Path) -> None:
    played = play(Plan("short", runner, 40, tuple(kills)), tmp_path)
    assert not played.broken
    assert played.announced
    if played.deaths:
        assert played.resumes + played.restarts or played.deaths[-1].victim in HARMLESS


@pytest.mark.parametrize("runner", sorted(KINDS))
def test_rounds_follow_from_their_seeds(runner: str) -> None:
    for number in range(100):
        plan = plan_round(7, runner, number)
        assert plan == plan_round(7, runner, number)
        kinds = [each.victim for each in plan.kills]
        assert kinds
        assert set(kinds) <= set(KINDS[runner])
        for at in range(len(kinds) - 2):
            assert not HARMLESS.issuperset(kinds[at : at + 3])
            assert kinds[at : at + 2] != [NANNY, NANNY]


def test_a_broken_round_is_told_with_what_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_it(plan: Plan, folder: Path, store: str | None) -> object:
        outcome = Outcome(broken=["it is broken"])
        outcome.deaths.append(Death(FLOW, WORK, resuming=False))
        return outcome

    monkeypatch.setattr(command, "play", break_it)
    monkeypatch.setattr(sys, "argv", ["chaos", "--kills", "2", "--seed", "3", "--runner", "dask"])
    assert command.main() == 1
    told = capsys.readouterr().out
    assert "again: python -m tests.chaos --seed 3 --runner dask --round 1 --keep" in told
    assert "2 killed in 2 rounds" in told
    assert "2 rounds broken" in told


# --- the checks find what they are for ------------------------------------------------------------


class Calm:
    """A round in which nobody was killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = str(folder / "home" / "dataflow.db")
        self.before: list[Stop] = []

    def look(self) -> Recorded:
        return Recorded(self.folder, self.store)

    def found(self, size: int = SIZE) -> list[str]:
        """What all checks say."""
        recorded = self.look()
        stops = [*self.before, Stop(recorded, resumed=bool(self.before))]
        return [
            *checks.after_an_end(self.folder, recorded),
            *checks.when_completed(self.folder, undisturbed(size), stops, kills=0),
            *checks.damage(self.store),
        ]


@pytest.fixture
def calm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calm:
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "0")
    monkeypatch.setenv(flows.FOLDER, str(tmp_path))
    create_limit(LIMIT, 1)
    result = disturbed.with_options(task_runner="threads")(SIZE, tmp_path)
    assert result == undisturbed(SIZE)
    return Calm(tmp_path)


def main_run() -> records.Run:
    (run,) = records.runs(flow_name="chaos")
    return run


def test_the_checks_find_nothing_in_a_calm_run(calm: Calm) -> None:
    assert calm.found() == []
    run = main_run()
    several = [row for row in run._store.results(run.id) if len(row.elements) > 1]
    assert several, "no results were packed together"


def _announce_wrongly(calm: Calm) -> None:
    flows.announce(str(calm.folder), f"{main_run().id}.0.0", "Failed")


def _announce_of_another(calm: Calm) -> None:
    flows.announce(str(calm.folder), "0" * 32, "Completed")


def _announce_unentered(calm: Calm) -> None:
    flows.announce(str(calm.folder), main_run().id, "Cancelled")


def _complete_twice(calm: Calm) -> None:
    opened = open_store(calm.store)
    opened.write([map_batch(main_run().id, 0, 3, [StateCode.COMPLETED])])
    opened.close()


def _forget_result(calm: Calm) -> None:
    with sqlite3.connect(calm.store) as connection:
        connection.execute("DELETE FROM results WHERE node = 0")
    connection.close()


def _lose_result(calm: Calm) -> None:
    for path in (calm.folder / "home" / "results").rglob("*"):
        if path.is_file():
            path.write_bytes(b"no result")


def _forget_calls(calm: Calm) -> None:
    place = calm.folder / flows.CALLS
    lines = place.read_text().splitlines(keepends=True)
    place.write_text("".join(line for line in lines if f"{main_run().id}.0.3 " not in line))


def _call_needlessly(calm: Calm) -> None:
    calm.before.append(Stop(calm.look(), (WORKER,)))
    line = f"{main_run().id}.0.3 1"
    flows.put_line(str(calm.folder), flows.CALLS, line.ljust(flows.CALL_BYTES - 1))


def _call_twice(calm: Calm) -> None:
    line = f"{main_run().id}.0.3 1"
    flows.put_line(str(calm.folder), flows.CALLS, line.ljust(flows.CALL_BYTES - 1))


def _hold_lease(calm: Calm) -> None:
    run = main_run()
    run._store.take_leases([b"1" * 16], "somebody", now_ns=0, expires_ns=1)


def _hold_slot(calm: Calm) -> None:
    run = main_run()
    run._store.slots.ask(Request({LIMIT: 1}, this_process(), "somebody"))


def _go_on(calm: Calm) -> None:
    with sqlite3.connect(calm.store) as connection:
        connection.execute("UPDATE runs SET state_type = 'RUNNING', state_name = 'Running'")
    connection.close()


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (_announce_wrongly, "was announced Failed; the store has Completed"),
        (_announce_of_another, "the store does not know that run"),
        (_announce_unentered, "was announced Cancelled; the store has"),
        (_complete_twice, ".0.3 has 2 recorded completions"),
        (_forget_result, "has completed, but its result was not recorded"),
        (_lose_result, "cannot be read"),
        (_forget_calls, "was never called"),
        (_call_needlessly, "was called again after stop 1, though it was kept"),
        (_call_twice, "was called 2 times for one completion"),
        (_hold_lease, "a lease of a cache key is still held"),
        (_hold_slot, f"a slot of {LIMIT!r} is still held"),
        (_go_on, "though its process is gone"),
    ],
)
def test_what_is_broken_is_found(disturb: Callable[[Calm], None], said: str, calm: Calm) -> None:
    disturb(calm)
    assert any(said in each for each in calm.found())


def test_another_result_is_found(calm: Calm) -> None:
    assert "the result is not that of an undisturbed run" in calm.found(SIZE + 1)


def test_every_call_leaves_a_mark_of_the_same_length(calm: Calm) -> None:
    assert count_calls(calm.folder) == len((calm.folder / flows.CALLS).read_text().splitlines())
