"""A short form of the chaos program, and that its checks find what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow import records
from dataflow.store.run_store import open_store
from tests.chaos import checks
from tests.chaos.flows import disturbed, undisturbed
from tests.chaos.rounds import Round, plan_round, play
from tests.chaos.victims import FLOW, HARMLESS, KINDS, NANNY, WORKER
from tests.store.samples import map_batch

SIZE = 24


@pytest.mark.parametrize(
    ("runner", "kills"),
    [
        ("processes", [WORKER, WORKER]),
        ("processes", [WORKER, FLOW]),
        ("dask", [WORKER, WORKER]),
    ],
)
def test_nothing_is_lost(runner: str, kills: list[str]) -> None:
    plan = plan_round(runner, "short", 3)
    played = play(Round(runner, 60, kills, plan.random))
    assert not played.broken
    assert played.announced


@pytest.mark.parametrize("runner", sorted(KINDS))
def test_rounds_follow_from_their_seeds(runner: str) -> None:
    for number in range(50):
        plan, again = (plan_round(runner, f"7/{number}", 3) for _ in range(2))
        assert (plan.kills, plan.size) == (again.kills, again.size)
        assert set(plan.kills) <= set(KINDS[runner])
        assert HARMLESS.issuperset(plan.kills[:-1])
        assert plan.kills.count(NANNY) <= 1


@pytest.fixture
def calm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a round in which nobody was killed."""
    for each in ("calls", "workers"):
        (tmp_path / each).mkdir()
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "0")
    result = disturbed.with_options(task_runner="threads")(SIZE, str(tmp_path))
    assert result == undisturbed(SIZE)
    return tmp_path


def _store(folder: Path) -> Path:
    return folder / "home" / "dataflow.db"


def _all_checks(folder: Path, kills: int = 0) -> list[str]:
    store = _store(folder)
    outcome = {"state": "Completed", "message": None, "result": undisturbed(SIZE)}
    return [
        *checks.unended_runs(store),
        *checks.missing_announcements(folder, store),
        *checks.repeated_completions(store),
        *checks.wrong_outcome(outcome, SIZE),
        *checks.wrong_calls(folder, SIZE, kills),
    ]


def test_the_checks_find_nothing_in_a_calm_run(calm: Path) -> None:
    assert _all_checks(calm) == []


def test_a_state_that_is_missing_is_found(calm: Path) -> None:
    (run,) = records.runs()
    with (calm / "announced").open("a") as file:
        file.write(f"{run.id}.0.0 Failed\n")
    (found,) = _all_checks(calm)
    assert "was announced Failed; the store has Completed" in found


def test_an_element_that_completed_twice_is_found(calm: Path) -> None:
    (run,) = records.runs()
    opened = open_store(_store(calm))
    opened.write([map_batch(run.id, 0, 3, [6])])
    opened.close()
    (found,) = _all_checks(calm)
    assert f"{run.id}.0.3 has 2 recorded completions" in found


def test_calls_too_many_and_too_few_are_found(calm: Path) -> None:
    (calm / "calls" / "square-1").write_text("1\n2\n3\n")
    (calm / "calls" / "grow-2").unlink()
    assert sorted(_all_checks(calm, kills=1)) == [
        "grow-2 was never called",
        "square-1 was called 3 times, though 1 processes were killed",
    ]


def test_a_wrong_outcome_is_found() -> None:
    assert list(checks.wrong_outcome(None, SIZE))
    assert list(checks.wrong_outcome({"state": "Failed", "message": "x"}, SIZE))
    wrong = {"state": "Completed", "message": None, "result": undisturbed(SIZE + 1)}
    assert list(checks.wrong_outcome(wrong, SIZE))
