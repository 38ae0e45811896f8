"""The suite `patterns`, on the smallest grids."""

from __future__ import annotations

from benchmarks.patterns import PATTERNS, WIDTH
from benchmarks.peers import OURS, PEERS
from benchmarks.suites.patterns import plan_work


def test_grids_are_shortened_in_steps():
    works = {work.name: work for work in plan_work(OURS[0], 0.5)}
    assert {f"metg_{name}" for name in PATTERNS} | {"metg_map"} == set(works)
    assert works["metg_fft"].item == f"metg_pattern:{WIDTH * 15}:fft"
    assert works["metg_map"].n == 10_000


def test_a_pool_knows_no_dependencies():
    assert [work.name for work in plan_work(PEERS["pool"][0], 1.0)] == ["metg_map"]
    assert plan_work(PEERS["ray"][0], 1.0) == []


def lengths(measured, peers, works):
    """All lengths that were found; on a machine that is busy none may be long enough."""
    found = measured("patterns", 0.04, peers=peers, works=works, may_say="less than 50 %")
    assert set(found) == peers
    return [
        seconds
        for values in found.values()
        for (_, measure), (seconds,) in values.items()
        if measure == "metg_seconds"
    ]


def test_a_pattern_runs_on_processes(measured):
    found = lengths(measured, {"dataflow"}, {"metg_tree"})
    assert all(0 < seconds < 1 for seconds in found)


def test_a_pattern_runs_on_dask(measured):
    found = lengths(measured, {"dask", "dataflow-dask"}, {"metg_dom"})
    assert all(0 < seconds < 1 for seconds in found)
