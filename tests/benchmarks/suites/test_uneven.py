"""The suite `uneven`, on 100 elements."""

from __future__ import annotations

from benchmarks.peers import PEERS
from benchmarks.suites.uneven import ROWS, plan_work


def test_only_the_default_chunks_of_a_pool_are_measured():
    assert [len(plan_work(peer, 1.0)) for peer in PEERS["pool"]] == [0, 0, len(ROWS)]


def test_every_kind_is_in_a_process_of_its_own():
    assert not any(work.may_share for work in plan_work(PEERS["dask"][0], 1.0))


def test_a_kind_runs(measured):
    peers = {"dataflow", "dataflow-dask", "dask", "pool-map"}
    found = measured("uneven", 0.1, peers=peers, works={"uneven_rare"})
    assert set(found) == peers
    for values in found.values():
        assert values["uneven_rare", "over_ideal"][0] >= 1


def test_a_mean_of_its_own(measured):
    work = "uneven_lognormal_1ms"
    found = measured("uneven", 0.1, peers={"dataflow"}, works={work})["dataflow"]
    assert found[work, "over_ideal"][0] >= 1
    assert found[work, "seconds"][0] >= 200 * 0.001 / 2
