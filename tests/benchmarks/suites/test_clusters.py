"""The suite `clusters`, with a run on a cluster that stays and one of a cluster that grows."""

from __future__ import annotations

from benchmarks.cases.growing_cluster import _first_of_each
from benchmarks.peers import OURS
from benchmarks.suites import clusters
from benchmarks.suites.clusters import plan_work


def test_every_row_is_measured():
    planned = {work.name for work in plan_work(OURS[1], 1.0)}
    assert planned == {row.work for row in clusters.ROWS}
    assert plan_work(OURS[0], 1.0) == []


def test_the_first_nap_of_each_worker_counts():
    assert _first_of_each([(1, 5.0), (2, 7.0), (1, 4.0), (2, 8.0)]) == [4.0, 7.0]


def test_a_cluster_that_stays_is_used_by_fresh_processes(measured):
    found = measured("clusters", 0.01, peers={"dataflow-dask"}, works={"standing"})
    for measure in ("start_seconds", "flow_seconds"):
        assert found["dataflow-dask"]["standing", measure][0] > 0


def test_a_cluster_that_follows_the_work_grows(measured):
    late = "workers came"  # when all of it was done
    found = measured("clusters", 1, peers={"dataflow-dask"}, works={"growing"}, may_say=late)
    values = found["dataflow-dask"]
    if values:
        assert 0 < values["growing", "first_seconds"][0] <= values["growing", "all_seconds"][0]
