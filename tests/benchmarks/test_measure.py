"""The measured process, and the interface of the rivals."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import Harness, Work, _last_line
from benchmarks.measure import PROGRAM
from benchmarks.peers import OURS, PEERS, Peer
from benchmarks.rivals import dataflow as dataflow_rival
from benchmarks.rivals.protocol import (
    DurableRival,
    GraphRival,
    HashingRival,
    MapRival,
    Rival,
)

ALL = (*OURS, *(peer for group in PEERS.values() for peer in group))
REPOSITORY = Path(__file__).resolve().parents[2]
MAP = Work("map", "map_elements", 30, may_share=True)
MAP_EACH = Work("map_each", "map_futures", 30, may_share=True)
FIRST = Work("first", "fresh_submits", 2, may_share=False)


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.key)
def test_every_rival_has_the_same_interface(peer, tmp_path):
    rival = importlib.import_module(f"benchmarks.rivals.{peer.rival}").Rival
    for name, function in inspect.getmembers(Rival, inspect.isfunction):
        if name in vars(Rival) and not name.startswith("_"):
            mine, wanted = inspect.signature(getattr(rival, name)), inspect.signature(function)
            assert str(mine) == str(wanted), name


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.key)
def test_what_some_rivals_can_do_besides_is_the_same_too(peer):
    rival = importlib.import_module(f"benchmarks.rivals.{peer.rival}").Rival
    for more in (MapRival, GraphRival, HashingRival, DurableRival):
        for name, function in inspect.getmembers(more, inspect.isfunction):
            if name in vars(more) and not name.startswith("_") and hasattr(rival, name):
                mine, wanted = inspect.signature(getattr(rival, name)), inspect.signature(function)
                assert str(mine) == str(wanted), name


def test_measuring_imports_next_to_nothing():
    rivals = ", ".join(sorted({f"benchmarks.rivals.{peer.rival}" for peer in ALL}))
    program = (
        "import sys; before = set(sys.modules); "
        f"import benchmarks.measure, benchmarks.cases.import_time, {rivals}; "
        "new = set(sys.modules) - before; "
        "print(*sorted(name for name in new if not name.startswith('benchmarks')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set(done.stdout.split()) <= {"__future__", "time"}
    assert "import main" in PROGRAM


def test_our_own_case_runs():
    told: list[str] = []
    results = Harness(2, told.append).measure({OURS[0]: [MAP, MAP_EACH, FIRST]}, 1, {})[OURS[0]]
    assert (results.unavailable, results.failures) == (None, {})
    assert "dataflow-runtime" in results.versions
    assert 0 < results.values["map", "seconds_each"][0] < 1
    assert 0 < results.values["map_each", "seconds_each"][0] < 1
    assert 0 < results.values["first", "process_seconds"][0] < 30


def test_warm_cases_share_a_process_where_starting_is_slow():
    slow = Peer("slow", "Slow", "pool", "1", shares_process=True)
    works = [Work("chain", "chain", 5, may_share=True), MAP]
    results = Harness(2, lambda _: None).measure({slow: works}, 2, {})[slow]
    assert len(results.values["map", "seconds_each"]) == 2
    assert len(results.values["chain", "seconds_each"]) == 2
    assert ("map", "process_seconds") not in results.values
    assert ("map", "grown_bytes") not in results.values  # only the first work's is its own


def test_a_peer_that_is_not_there_is_a_result():
    absent = Peer("absent", "Absent", "no_such_rival", requirements=("absent",))
    results = Harness(2, lambda _: None).measure({absent: [MAP]}, 1, {})[absent]
    assert results.unavailable == "not found; `--make-environments` installs it"


def test_a_case_that_fails_is_a_result_and_is_not_tried_again():
    peer = PEERS["pool"][1]
    told: list[str] = []
    broken = Work("map", "no_such_case", 1, may_share=True)
    results = Harness(2, told.append).measure({peer: [broken, FIRST]}, 2, {})[peer]
    assert "no_such_case" in results.failures["map"]
    assert len(results.values["first", "process_seconds"]) == 2
    assert sum("no_such_case" in line for line in told) == 1


def test_elements_that_are_not_recorded_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path))
    rival = dataflow_rival.Rival("processes", str(tmp_path), 1)
    rival.open()
    rival.map(5)
    rival.check_records(5)
    with pytest.raises(AssertionError, match="5 of 6 elements"):
        rival.check_records(6)


def test_a_failure_is_told_by_its_exception_not_by_the_last_log_line(tmp_path):
    errors = tmp_path / "stderr"
    errors.write_text("Traceback\n  File x\nRuntimeError: no server\n02:26 | INFO | stopping\n")
    assert _last_line(errors) == "RuntimeError: no server"
    errors.write_text("Killed\n\n")
    assert _last_line(errors) == "Killed"
