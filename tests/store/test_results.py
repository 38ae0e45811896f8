"""Where results are: rows of elements, single calls and cache keys."""

from __future__ import annotations

import contextlib
from array import array
from datetime import UTC, datetime

import pytest

from dataflow.model.records import (
    SINGLE_CALLS,
    CommittedRecord,
    DroppedKeysRecord,
    KeptValueRecord,
    ResultRecord,
)
from dataflow.model.states import StateCode
from dataflow.process_ids import this_process
from dataflow.store import cache_keys, upkeep
from dataflow.store.run_store import open_store
from dataflow.store.stored_results import ResultObject
from tests.store.samples import fresh_run_id, run_record, run_state

RUN = fresh_run_id()


def record(node=0, elements=range(3), numbers=None, **more):
    given = {
        "run_id": RUN,
        "node": node,
        "elements": elements,
        "numbers": range(len(elements)) if numbers is None else numbers,
        "storage": "/kept",
        "name": "object",
        "serializer": "pickle",
        "created_ns": 1,
        **more,
    }
    return ResultRecord(**given)


def where(name="object", run_id=RUN):
    return ResultObject("/kept", name, "pickle", run_id)


def keys(*numbers):
    return b"".join(bytes((number,)) * 16 for number in numbers)


def test_elements_in_a_row_and_others(store):
    store.write(
        [run_record(RUN), record(elements=range(5, 9)), record(elements=[1, 3], name="two")]
    )
    assert store.result_at(RUN, 0, 6) == (where(), 1)
    assert store.result_at(RUN, 0, 3) == (where("two"), 1)
    assert store.result_at(RUN, 0, 2) is None
    assert store.result_at(RUN, 1, 6) is None
    rows = store.results(RUN)
    assert [list(row.elements) for row in rows] == [[5, 6, 7, 8], [1, 3]]


def test_what_was_set_and_committed_in_transactions(store):
    set_by_tasks = [(0, 2, "path", b"one"), (0, 2, "path", b"two"), (1, 0, "lock", None)]
    store.write([run_record(RUN), *(KeptValueRecord(RUN, *each) for each in set_by_tasks)])
    store.write(
        [CommittedRecord(RUN, 0, 5), CommittedRecord(RUN, 1, 6), CommittedRecord(RUN, 0, 7)]
    )
    assert store.transaction_values(RUN) == set_by_tasks
    assert store.committed_nodes(RUN) == {0: 7, 1: 6}
    assert store.transaction_values(fresh_run_id()) == []


def test_single_calls_and_places_in_their_object(store):
    nodes = array("q", [3, 8, 4])
    store.write([run_record(RUN), record(SINGLE_CALLS, nodes, [7, 0, 9])])
    assert store.result_at(RUN, 8) == (where(), 0)
    assert store.result_at(RUN, 4) == (where(), 9)
    assert store.result_at(RUN, 5) is None


def test_what_was_written_later_counts(store):
    store.write([run_record(RUN), record(), record(elements=range(1, 2), name="later")])
    assert store.result_at(RUN, 0, 1) == (where("later"), 0)
    assert store.result_at(RUN, 0, 2) == (where(), 2)


def test_hashes_come_back(store):
    store.write([run_record(RUN), record(digests=keys(1, 2, 3), source=b"s" * 16)])
    (row,) = store.results(RUN)
    assert row.digest(1) == bytes((2,)) * 16
    assert row.source == b"s" * 16


def test_keys_that_are_dropped_lead_nowhere(store):
    other = fresh_run_id()
    store.write([run_record(RUN), run_record(other)])
    store.write([record(cache_keys=keys(1, 2, 3))])
    store.write([record(name="other's", cache_keys=keys(3, 4, 5), run_id=other)])
    made = record(name="both at once", cache_keys=keys(6, 1, 7), run_id=other)
    store.write([record(name="too", cache_keys=keys(8, 9, 2)), dropped(1, 0, 3, 8, 99), made])
    found = store.cached_results([bytes((n,)) * 16 for n in range(10)], 0)
    names = {key[0]: place[0].name for key, place in found.items()}
    assert names == {
        1: "both at once",
        2: "too",
        3: "other's",
        4: "other's",
        5: "other's",
        6: "both at once",
        7: "both at once",
        9: "too",
    }


def dropped(*numbers):
    return DroppedKeysRecord(RUN, keys(*numbers))


def test_cache_keys_lead_to_results_until_they_expire(store):
    made_by = "f" * 32
    store.write(
        [
            run_record(RUN),
            record(cache_keys=keys(1, 0, 3)),
            record(name="short", cache_keys=keys(4, 5, 6), expires_ns=100, made_by=made_by),
        ]
    )
    wanted = [bytes((number,)) * 16 for number in range(8)]
    found = store.cached_results(wanted, 50)
    assert set(found) == {wanted[number] for number in (1, 3, 4, 5, 6)}
    assert found[wanted[3]] == (where(), 2)
    assert found[wanted[5]] == (where("short", made_by), 1)
    assert set(store.cached_results(wanted, 100)) == {wanted[1], wanted[3]}


def test_a_key_leads_to_what_was_written_last(store):
    store.write([run_record(RUN), record(cache_keys=keys(1, 2, 3))])
    store.write([record(name="later", cache_keys=keys(9, 2, 8))])
    (place,) = store.cached_results([bytes((2,)) * 16], 0).values()
    assert place == (where("later"), 1)


def test_many_keys_are_looked_up(store):
    count = 1300
    numbers = [number.to_bytes(16, "big") for number in range(1, count + 1)]
    store.write([run_record(RUN), record(elements=range(count), cache_keys=b"".join(numbers))])
    found = store.cached_results(numbers, 0)
    assert [found[key][1] for key in numbers] == list(range(count))


def test_a_key_is_leased_to_one_at_a_time(store):
    one, other = b"1" * 16, b"2" * 16
    assert store.take_leases([one, other], "a", now_ns=0, expires_ns=10) == {one, other}
    assert store.take_leases([one], "b", now_ns=5, expires_ns=15) == set()
    assert store.take_leases([one], "b", now_ns=11, expires_ns=21) == {one}
    store.renew_leases("a", 30, done=[other])
    assert store.take_leases([other], "c", now_ns=12, expires_ns=30) == {other}
    store.drop_leases("b")
    assert store.take_leases([one], "c", now_ns=12, expires_ns=30) == {one}


def test_a_lease_ends_with_the_result(store):
    (key,) = [bytes((7,)) * 16]
    store.write([run_record(RUN)])
    assert store.take_leases([key], "a", now_ns=0, expires_ns=10**9) == {key}
    store.write([record(elements=range(1), cache_keys=key)])
    assert store.take_leases([key], "b", now_ns=1, expires_ns=10**9) == {key}


@pytest.mark.parametrize("code", [StateCode.COMPLETED, StateCode.CRASHED, StateCode.CANCELLED])
def test_the_leases_of_a_run_end_with_it(store, code):
    mine, other = b"1" * 16, b"2" * 16
    store.write([run_record(RUN), run_state(RUN, StateCode.RUNNING)])
    store.take_leases([mine], RUN, now_ns=0, expires_ns=10**9)
    store.take_leases([other], "another", now_ns=0, expires_ns=10**9)
    store.write([run_state(RUN, code)])
    assert store.take_leases([mine, other], "next", now_ns=1, expires_ns=10**9) == {mine}
    assert store.take_leases([b"3" * 16], RUN, now_ns=1, expires_ns=10**9) == set()


def test_the_leases_of_a_run_whose_process_has_vanished_end_with_it(store):
    key, gone = b"1" * 16, this_process()._replace(started="1")
    store.write([run_record(RUN, driver=gone), run_state(RUN, StateCode.RUNNING)])
    store.take_leases([key], RUN, now_ns=0, expires_ns=10**9)
    assert store.control.crash_vanished() == [RUN]
    assert store.take_leases([key], "next", now_ns=1, expires_ns=10**9) == {key}


def test_keys_of_removed_runs_lead_nowhere(store):
    store.write([run_record(RUN, created_ns=1), record(cache_keys=keys(1, 2, 3))])
    store.write([run_state(RUN, StateCode.COMPLETED, 2)])
    assert store.prune(datetime(2013, 1, 1, tzinfo=UTC)) == 1
    assert store.cached_results([bytes((1,)) * 16], 0) == {}
    assert store.results(RUN) == []


def test_results_are_exported_and_imported(store, tmp_path):
    store.write([run_record(RUN), record(digests=keys(1, 2, 3))])
    with (tmp_path / "exported").open("wb") as file:
        store.export_to(file)
    with contextlib.closing(open_store(tmp_path / "other.db")) as other:
        other.write([run_record("e" * 32), record(run_id="e" * 32)])
        with (tmp_path / "exported").open("rb") as file:
            other.import_from(file)
        assert other.result_at(RUN, 0, 2) == (where(), 2)
        assert other.result_at("e" * 32, 0, 2) == (where(run_id="e" * 32), 2)


def test_keys_of_removed_runs_go_and_those_of_others_stay(store, monkeypatch):
    monkeypatch.setattr(cache_keys, "_AT_ONCE", 7)
    runs = [fresh_run_id() for _ in range(3)]
    every = [bytes((number,)) * 16 for number in range(1, 100)]
    for at, run_id in enumerate(runs):
        joined = b"".join(every[at::3])
        kept = record(elements=range(33), cache_keys=joined, run_id=run_id)
        store.write([run_record(run_id, created_ns=1), kept])
        store.write([run_state(run_id, StateCode.FAILED, at + 1)])
    assert store.prune(datetime.fromtimestamp(2e-6, UTC), only_count=True) == 3
    store.write([run_state(runs[1], StateCode.RESUMING, 3)])
    assert store.prune(datetime.fromtimestamp(2e-6, UTC)) == 2
    assert sorted(store.cached_results(every, 0)) == every[1::3]
    left = store._database.read(lambda view: view.execute("SELECT count(*) FROM cache_keys"))
    assert [tuple(row) for row in left] == [(33,)]


def test_a_key_of_a_removed_run_does_not_lead_to_another_that_has_its_number(store, monkeypatch):
    key = bytes((1,)) * 16
    store.write([run_record(RUN, created_ns=1), record(cache_keys=keys(1, 2, 3))])
    store.write([run_state(RUN, StateCode.COMPLETED, 2)])
    monkeypatch.setattr(upkeep, "sweep_cache_keys", lambda _: None)  # killed before that
    assert store.prune(datetime.now(UTC)) == 1
    other = fresh_run_id()
    store.write([run_record(other), record(run_id=other, name="other's")])
    assert store.cached_results([key], 0) == {}
