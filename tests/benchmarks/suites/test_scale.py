"""The suite `scale`, on a few hundred elements."""

from __future__ import annotations

from benchmarks.peers import OURS, PEERS
from benchmarks.suites.scale import ROWS, plan_work


def test_every_row_is_a_measure_of_planned_work():
    planned = {work.name for work in plan_work(OURS[0], 1.0)}
    assert {row.work for row in ROWS} == planned


def test_the_shortest_map_stays_what_it_is():
    sizes = {work.name: work.n for work in plan_work(OURS[0], 0.01)}
    assert (sizes["calls_10"], sizes["calls"]) == (10, 10_000)
    assert [work.name for work in plan_work(PEERS["pool"][1], 1.0)] == ["growth"]


def test_each_case_runs(measured):
    (found,) = measured("scale", 0.002, peers={"dataflow"}).values()
    wanted = {(row.work, row.measure) for row in ROWS if row.key != "scale_scheduler"}
    assert wanted <= set(found)
    assert all(values[0] >= 0 for values in found.values())


def test_the_scheduler_of_dask_is_measured_where_it_is_another_process(measured):
    found = measured("scale", 0.01, peers={"dataflow-dask", "dask"}, works={"memory_growth"})
    assert ("memory_growth", "scheduler_bytes") in found["dataflow-dask"]
    assert ("memory_growth", "scheduler_bytes") not in found["dask"]


def test_a_branch_runs_beside_dask_futures(measured):
    found = measured("scale", 0.01, peers={"dask"}, works={"fairness", "calls", "submit_calls"})
    assert found["dask"]["fairness", "ratio"][0] > 0
