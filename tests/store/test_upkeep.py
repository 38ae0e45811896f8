"""Looking after a store: what is in it, what is old, what takes room."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from dataflow.clock import datetime_of
from dataflow.errors import StoreError
from dataflow.model.records import (
    CommittedRecord,
    DueHooksRecord,
    KeptValueRecord,
    ResultRecord,
)
from dataflow.model.states import StateCode
from dataflow.store.database import Transaction
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.sqlite_schema import LATEST
from dataflow.store.tables import TABLES, count_rows, delete_rows, select_rows
from tests.store.programs import beginning, portion
from tests.store.samples import (
    T0,
    artifact_record,
    fresh_run_id,
    run_record,
    run_state,
    run_timing_record,
)

DAY = 24 * 3600 * 10**9
OF_RUNS = {
    name: table for name, table in TABLES.items() if table.run is not None and not table.stays
}


def write_run(store: RunStore, ended_day: int | None, **changes) -> str:
    """A run with something in every table, that began on day 0."""
    run_id = fresh_run_id()
    timing = run_timing_record(run_id, ended_ns=T0, tasks=(("load", 1, 1),))
    store.write(
        [run_record(run_id, **changes), *beginning(run_id)[1:], *portion(run_id, 0), timing]
    )
    shown = artifact_record(0, artifact_id=run_id, run_id=run_id)
    kept = ResultRecord(run_id, 0, range(2), range(2), "/kept", run_id, "pickle", T0)
    was_set = KeptValueRecord(run_id, 0, 0, "path", b".")
    done = CommittedRecord(run_id, 0, T0)
    store.write([run_record(run_id, **changes), shown, kept, was_set, done])
    if ended_day is not None:
        store.write([run_state(run_id, StateCode.COMPLETED, T0 + ended_day * DAY)])
    return run_id


def rows_by_table(store) -> dict[str, int]:
    def count(view: Transaction) -> dict[str, int]:
        texts = {name: f"SELECT count(*) FROM {name}" for name in OF_RUNS}
        return {name: next(iter(view.execute(text)))[0] for name, text in texts.items()}

    found: dict[str, int] = store._database.read(count)
    return found


def ids(store: RunStore) -> set[str]:
    return {run.run_id for run in store.find_runs(limit=None)}


def on_day(day: float):
    return datetime_of(T0) + timedelta(days=day)


def test_an_empty_store_has_nothing(store, place):
    info = store.info()
    assert (info.runs, info.batches, info.calls, info.logs) == ({}, 0, 0, 0)
    assert (info.first, info.last) == (None, None)
    assert info.schema == LATEST
    assert info.size_bytes > 0
    assert store.prune(on_day(99)) == 0
    store.vacuum()


def test_what_is_in_a_store(store, dialect):
    for day in (1, 2, None):
        write_run(store, day)
    store.write([run_record(fresh_run_id(), created_ns=T0 + DAY)])
    info = store.info()
    assert info.runs == {"COMPLETED": 2, "RUNNING": 1, "PENDING": 1}
    assert (info.batches, info.calls, info.logs) == (6, 603, 15)
    assert (info.first, info.last) == (on_day(0), on_day(1))
    assert info.kind.startswith({"sqlite": "SQLite 3.", "postgres": "PostgreSQL 1"}[dialect])


def test_old_runs_go_with_all_that_they_left(store):
    old = [write_run(store, 1) for _ in range(25)]
    assert all(rows_by_table(store).values())
    assert store.prune(on_day(1)) == 0
    assert store.prune(on_day(2), only_count=True) == 25
    assert ids(store) == set(old)
    assert store.prune(on_day(2)) == 25
    assert rows_by_table(store) == dict.fromkeys(OF_RUNS, 0)
    assert store.prune(on_day(2)) == 0


def test_hooks_that_nobody_has_called_go_with_their_run(store):
    old, later = write_run(store, 1), write_run(store, 9)
    store.write([DueHooksRecord(each, 1, 0, 0, 2, StateCode.COMPLETED, 1) for each in (old, later)])
    assert store.prune(on_day(5)) == 1
    assert store.control.due_hooks(old) == []
    assert store.control.runs_with_due_hooks() == [later]


def test_later_runs_and_those_that_go_on_stay_whole(store):
    kept = [write_run(store, 8), write_run(store, None)]
    one = rows_by_table(store)
    write_run(store, 6)
    assert store.prune(on_day(7)) == 1
    assert ids(store) == set(kept)
    assert rows_by_table(store) == one
    for run_id in kept:
        assert len(store.nodes(run_id)) == 2
        assert len(store.logs(run_id)) == 5


def test_subflows_stay_as_long_as_what_called_them(store):
    going_on, done = write_run(store, None), write_run(store, 2)
    children = {parent: write_run(store, 1, parent_run_id=parent) for parent in (going_on, done)}
    grandchild = write_run(store, 1, parent_run_id=children[going_on])
    orphan = write_run(store, 1, parent_run_id="gone")
    assert store.prune(on_day(3)) == 3
    assert ids(store) == {going_on, children[going_on], grandchild}
    assert orphan not in ids(store)


def test_every_row_of_a_run_is_found_by_an_index(store, dialect):
    """Removing a run, and exporting it, must not walk through what others have left."""
    explain, walk = {
        "sqlite": ("EXPLAIN QUERY PLAN", "SCAN {}"),
        "postgres": ("EXPLAIN", "Seq Scan on {}"),
    }[dialect]

    def walked(view: Transaction) -> Iterator[str]:
        if dialect == "postgres":
            list(view.execute("SELECT set_config('enable_seqscan', 'off', true)"))
        for name, table in OF_RUNS.items():
            condition, value = view.among(str(table.run), [1, 2])
            asked = [(delete_rows(table, condition), value), (count_rows(table, condition), value)]
            for text, given in [*asked, (select_rows(table), 1)]:
                plan = [str(row[-1]) for row in view.execute(f"{explain} {text}", (given,))]
                if walk.format(name) in " ".join(plan):
                    yield text

    assert store._database.read(lambda view: list(walked(view))) == []


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_backup_is_made_in_the_middle_of_a_write(store, tmp_path):
    run_id = write_run(store, 1)

    def in_the_middle(transaction: Transaction) -> None:
        transaction.execute("DELETE FROM logs")
        store.backup(tmp_path / "copy.db")

    store._database.write(in_the_middle)
    with contextlib.closing(open_store(tmp_path / "copy.db")) as copy:
        assert ids(copy) == {run_id}
        assert len(copy.logs(run_id)) == 5
        write_run(copy, 1)
    assert len(ids(store)) == 1
    assert store.logs(run_id) == []


@pytest.mark.parametrize("dialect", ["postgres"])
def test_a_server_is_no_file(store, tmp_path):
    with pytest.raises(StoreError, match="is no file") as caught:
        store.backup(tmp_path / "copy.db")
    assert "pg_dump" in str(caught.value.hint)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_vacuum_gives_the_room_of_removed_runs_back(store, dialect):
    for _ in range(30):
        write_run(store, 1)
    before = store.info()
    store.prune(on_day(2))
    assert store.info().free_bytes > 50_000
    store.vacuum()
    after = store.info()
    assert after.free_bytes == 0
    assert after.size_bytes < before.size_bytes / 3
