"""The suite `patterns`, on the smallest grids."""

from __future__ import annotations

from benchmarks.patterns import PATTERNS, WIDTH
from benchmarks.peers import OURS, PEERS
from benchmarks.suites.patterns import plan_work


def test_grids_are_shortened_in_steps():
    works = {work.name: work for work in plan_work(OURS[0], 0.5)}
    assert {f"metg_{name}" for name in PATTERNS} | {"metg_map"} == set(works)
    assert works["metg_fft"].item == f"metg_pattern:{WIDTH * 30}:fft"
    assert works["metg_map"].n == 10_000


def test_a_pool_knows_no_dependencies():
    assert [work.name for work in plan_work(PEERS["pool"][0], 1.0)] == ["metg_map"]
    assert plan_work(PEERS["ray"][0], 1.0) == []


def test_a_pattern_and_a_map_run(measured):
    found = measured(
        "patterns", 0.04, peers={"dataflow", "pool-500"}, works={"metg_tree", "metg_map"}
    )
    assert 0 < found["dataflow"]["metg_tree", "metg_seconds"][0] < 1
    assert 0 < found["dataflow"]["metg_map", "metg_seconds"][0] < 1
    assert 0 < found["pool-500"]["metg_map", "metg_seconds"][0] < 1


def test_a_pattern_runs_on_dask(measured):
    found = measured("patterns", 0.04, peers={"dask", "dataflow-dask"}, works={"metg_dom"})
    assert 0 < found["dask"]["metg_dom", "metg_seconds"][0] < 1
    assert 0 < found["dataflow-dask"]["metg_dom", "metg_seconds"][0] < 1
