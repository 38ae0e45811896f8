"""The suite `durability`, on maps of a hundred elements and a short history."""

from __future__ import annotations

from benchmarks.peers import OURS, PEERS
from benchmarks.suites import durability
from benchmarks.suites.durability import plan_work

MAPS = {"kept", "cached_all", "cached_half", "resumed"}


def test_every_row_is_measured_by_somebody():
    peers = [*OURS, *PEERS["dask"]]
    planned = {work.name for peer in peers for work in plan_work(peer, 1.0)}
    asked = {row.work or row.key for row in durability.ROWS}
    assert asked - planned <= {"history_postgres"}
    assert planned <= asked
    assert plan_work(PEERS["pool"][0], 1.0) == []


def test_what_has_to_do_with_no_runner_is_measured_once():
    assert {work.name for work in plan_work(OURS[1], 1.0)} == {*MAPS, "freed_slots"}


def test_maps_are_kept_and_taken_and_go_on(measured):
    found = measured("durability", 0.001, peers={"dataflow"}, works={*MAPS, "writer_alone"})[
        "dataflow"
    ]
    for work in (*MAPS, "writer_alone"):
        assert found[work, "seconds_each"][0] > 0
    assert found["kept", "added_each"][0] < found["kept", "seconds_each"][0]


def test_values_are_hashed_and_harnesses_entered(measured):
    works = {"hash_numpy", "hash_pandas", "hash_arrow", "harness"}
    found = measured("durability", 0.001, peers={"dataflow", "dask"}, works=works)
    for kind in ("numpy", "pandas", "arrow"):
        assert found["dataflow"][f"hash_{kind}", "bytes_a_second"][0] > 0
        assert found["dask"][f"hash_{kind}", "bytes_a_second"][0] > 0
    assert found["dataflow"]["harness", "first_seconds"][0] > 0


def test_slots_are_freed_and_crashes_seen(measured):
    peers, works = {"dataflow", "dataflow-dask"}, {"freed_slots", "seen_crash"}
    found = measured("durability", 0.001, peers=peers, works=works)
    assert found["dataflow"]["freed_slots", "seconds"][0] > 0
    assert found["dataflow-dask"]["freed_slots", "seconds"][0] > 0
    assert found["dataflow"]["seen_crash", "seconds"][0] > 0


def test_a_history_is_listed_on_every_database_there_is(measured):
    works = {work.name for work in plan_work(OURS[0], 1.0) if work.case == "long_history"}
    found = measured("durability", 0.001, peers={"dataflow"}, works=works)["dataflow"]
    assert {work for work, name in found if name == "seconds"} == works
    assert "history_sqlite" in works
