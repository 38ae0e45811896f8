"""A short form of ``python -m tests.chaos --cluster``: hosts, wires and processes in trouble."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos import __main__ as command
from tests.chaos import far_command
from tests.chaos.far_plans import FarPlan, Planned, plan_far_round
from tests.chaos.far_rounds import FarOutcome, play
from tests.chaos.troubles import TROUBLES

MEGABYTES_100 = 100_000_000


def planned(name: str, moment: float) -> Planned:
    return Planned(name, moment, pick=0.5)


@pytest.mark.usefixtures("namespaces")
def test_what_a_run_can_live_with(tmp_path: Path) -> None:
    names = ["worker killed", "link cut for 5 s", "memory filled", "disk filled"]
    troubles = [planned(name, 0.1 + 0.1 * at) for at, name in enumerate(names)]
    played = play(FarPlan(40, MEGABYTES_100, tuple(troubles)), tmp_path)
    assert played.broken == []
    assert played.troubles == names
    assert played.lives == 1


@pytest.mark.usefixtures("namespaces")
def test_a_run_goes_on_on_another_cluster(tmp_path: Path) -> None:
    troubles = planned("scheduler killed", 0.3), planned("nanny killed", 0.3)
    played = play(FarPlan(40, MEGABYTES_100, troubles), tmp_path)
    assert played.broken == []
    assert played.lives == 2
    assert played.reused


@pytest.mark.usefixtures("namespaces")
def test_a_host_that_is_gone(tmp_path: Path) -> None:
    troubles = planned("link cut", 0.3), planned("link slow and lossy", 0.3)
    played = play(FarPlan(40, 1_500_000, troubles), tmp_path)
    assert played.broken == []
    assert played.lives == 1
    assert any("on host 10.77.0.4) died: its connection" in each for each in played.deaths)


def test_rounds_follow_from_their_seeds() -> None:
    seen = set()
    for number in range(200):
        plan = plan_far_round(7, number)
        assert plan == plan_far_round(7, number)
        names = [each.name for each in plan.troubles]
        seen.update(names)
        for one, other in pairwise(names):
            assert not (TROUBLES[one].takes_host and TROUBLES[other].takes_host)
    assert seen == set(TROUBLES)
    assert {each.name for each in plan_far_round(7, 1, "disk filled").troubles} == {"disk filled"}


def test_a_broken_round_is_told_with_what_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_it(plan: FarPlan, folder: Path) -> FarOutcome:
        names = [each.name for each in plan.troubles]
        return FarOutcome(names, lives=1, broken=["it is broken"])

    monkeypatch.setattr(far_command, "play", break_it)
    monkeypatch.setattr(far_command, "why_no_hosts", lambda: None)
    arguments = ["--cluster", "--kills", "1", "--seed", "3", "--trouble", "link cut"]
    monkeypatch.setattr(sys, "argv", ["chaos", *arguments])
    assert command.main() == 1
    told = capsys.readouterr().out
    wanted = "again: python -m tests.chaos --cluster --seed 3 --round 0 --trouble 'link cut' --keep"
    assert wanted in told
    assert "1 rounds broken" in told


def test_where_there_can_be_no_hosts_one_is_told_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(far_command, "why_no_hosts", lambda: "only root may add them")
    assert far_command.trouble_hosts(1, 1, None, None, keep=False) == 2
    assert "There can be no hosts here: only root may add them." in capsys.readouterr().out
