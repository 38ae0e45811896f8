"""The suite `requests`, on a few hundred pages."""

from __future__ import annotations

from benchmarks.cases.requests import AT_ONCE
from benchmarks.peers import OURS, PEERS
from benchmarks.suites.requests import ROWS, plan_work
from dataflow.planner.batch_sizes import MAX_CONCURRENT_CALLS


def test_the_bare_loop_has_as_many_calls_under_way_as_a_worker():
    assert AT_ONCE == MAX_CONCURRENT_CALLS


def test_only_dataflow_is_measured():
    assert plan_work(PEERS["pool"][0], 1.0) == plan_work(PEERS["dask"][0], 1.0) == []
    assert [len(plan_work(peer, 1.0)) for peer in OURS] == [1, 1]


def test_the_requests_are_made(measured):
    n = 300
    found = measured("requests", n / 10_000, peers={"dataflow", "dataflow-dask"})
    for values in found.values():
        assert {(row.work, row.measure) for row in ROWS} <= set(values)
        assert 1 <= values["requests", "most_at_once"][0] <= n
