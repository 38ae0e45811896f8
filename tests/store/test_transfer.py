"""Runs go from one store to another: all of them, as they are, and once."""

from __future__ import annotations

import contextlib
import gzip
import io

import msgpack
import pytest

from dataflow.errors import StoreError, StoreTooNew
from dataflow.model.records import DueHooksRecord
from dataflow.model.states import StateCode
from dataflow.store import transfer, transfer_frames
from dataflow.store.named_sql import DIALECTS
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.tables import TABLES, Table
from tests.store.programs import beginning, portion
from tests.store.samples import (
    T0,
    fresh_run_id,
    log_record,
    map_batch,
    run_record,
    run_state,
    run_timing_record,
)


@pytest.fixture
def open_fresh(fresh_place):
    """Opens empty stores."""
    with contextlib.ExitStack() as stack:
        yield lambda dialect: stack.enter_context(
            contextlib.closing(open_store(fresh_place(dialect)))
        )


def fill(store: RunStore, runs: int = 3) -> list[str]:
    """Runs with something in every table; the last one has not ended."""
    run_ids = [fresh_run_id() for _ in range(runs)]
    for run_id in run_ids:
        store.write(beginning(run_id))
    for number in range(3):  # so that their batches are in between each other
        for run_id in run_ids:
            store.write(portion(run_id, number))
            store.write([map_batch(run_id, 1, 0, [StateCode.COMPLETED] * 3, [2, 2, 2])])
    for run_id in run_ids[:-1]:
        timing = run_timing_record(run_id, ended_ns=T0, tasks=(("load", 3, 6), ("save", 1, 1)))
        store.write([run_state(run_id, StateCode.COMPLETED, T0 + 5), timing])
    return run_ids


def contents(store: RunStore, run_ids: list[str]) -> list:
    """Everything that can be asked of some runs, but for the numbers of log lines."""
    found: list = []
    for run_id in run_ids:
        run = store.run(run_id)
        logs = [(line.message, line.node, line.timestamp_ns) for line in store.logs(run_id)]
        found += [run, store.run_states(run_id), store.nodes(run_id), logs]
        found += [store.failures(run_id), store.timing(run_id), store.phases(run_id)]
        found += [store.element(run_id, 1, index) for index in range(4)]
    return [*found, store.task_seconds(["load", "save"])]


def exported(store: RunStore) -> bytes:
    target = io.BytesIO()
    store.export_to(target)
    return target.getvalue()


@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize("source", DIALECTS)
def test_what_is_imported_is_what_was_exported(open_fresh, source, target):
    old, new = open_fresh(source), open_fresh(target)
    theirs = fill(new, runs=1)
    before = contents(new, theirs)
    run_ids = fill(old)
    file = io.BytesIO()
    assert old.export_to(file) == 3
    file.seek(0)
    assert new.import_from(file) == transfer.Imported(runs=3, known=0)
    assert contents(new, run_ids) == contents(old, run_ids)
    assert contents(new, theirs)[:-1] == before[:-1]
    assert len(new.find_runs()) == 4


def test_hooks_that_nobody_has_called_stay_where_they_are(open_fresh):
    """Else they would be called in both stores."""
    old, new = open_fresh("sqlite"), open_fresh("sqlite")
    (run_id,) = fill(old, runs=1)
    old.write([DueHooksRecord(run_id, 1, 0, 0, 2, StateCode.COMPLETED, 1)])
    new.import_from(io.BytesIO(exported(old)))
    assert new.control.runs_with_due_hooks() == []
    assert old.control.runs_with_due_hooks() == [run_id]


@pytest.mark.parametrize("target", DIALECTS)
def test_importing_twice_changes_nothing(open_fresh, target):
    old, new = open_fresh("sqlite"), open_fresh(target)
    run_ids = fill(old)
    file = exported(old)
    new.import_from(io.BytesIO(file))
    assert contents(new, run_ids) == contents(old, run_ids)
    assert new.import_from(io.BytesIO(file)) == transfer.Imported(runs=0, known=3)
    assert contents(new, run_ids) == contents(old, run_ids)
    assert old.import_from(io.BytesIO(exported(new))) == transfer.Imported(runs=0, known=3)


@pytest.mark.parametrize("target", DIALECTS)
def test_a_run_that_went_on_is_replaced_and_what_is_later_stays(open_fresh, target):
    old, new = open_fresh("sqlite"), open_fresh(target)
    run_ids = fill(old)
    going_on = run_ids[-1]
    early = exported(old)
    new.import_from(io.BytesIO(early))
    old.write([*portion(going_on, 7), run_state(going_on, StateCode.COMPLETED)])
    assert new.import_from(io.BytesIO(exported(old))) == transfer.Imported(runs=1, known=2)
    assert contents(new, run_ids) == contents(old, run_ids)
    assert new.import_from(io.BytesIO(early)) == transfer.Imported(runs=0, known=3)
    assert contents(new, run_ids) == contents(old, run_ids)


def test_text_that_a_database_cannot_take_becomes_legible(open_fresh):
    old, new = open_fresh("sqlite"), open_fresh("postgres")
    run_id = fresh_run_id()
    old.write([run_record(run_id), log_record(run_id, "a\0b")])
    new.import_from(io.BytesIO(exported(old)))
    assert [line.message for line in new.logs(run_id)] == ["a\\x00b"]


def test_an_empty_store(open_fresh):
    store = open_fresh("sqlite")
    assert store.import_from(io.BytesIO(exported(store))) == transfer.Imported(0, 0)


def test_the_same_runs_are_the_same_bytes(open_fresh):
    store = open_fresh("sqlite")
    fill(store)
    assert exported(store) == exported(store)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80"])
@pytest.mark.parametrize("packed", [False, True])
def test_another_file_is_refused(open_fresh, content, packed):
    content = gzip.compress(content) if packed else content
    with pytest.raises(StoreError, match="no whole export"):
        open_fresh("sqlite").import_from(io.BytesIO(content))


@pytest.mark.parametrize("target", DIALECTS)
def test_a_file_that_is_cut_off_gives_its_first_runs_and_an_error(open_fresh, target):
    old, new = open_fresh("sqlite"), open_fresh(target)
    run_ids = fill(old, runs=12)
    plain = gzip.decompress(exported(old))
    file = gzip.compress(plain[: len(plain) * 2 // 3])
    with pytest.raises(StoreError, match="its end is missing"):
        new.import_from(io.BytesIO(file))
    found = {run.run_id for run in new.find_runs()}
    assert found < set(run_ids)
    assert len(found) > 4
    for run_id in found:
        assert new.nodes(run_id) == old.nodes(run_id)
    assert new.import_from(io.BytesIO(exported(old))).known == len(found)
    assert contents(new, run_ids) == contents(old, run_ids)


def test_a_damaged_file_is_found_out(open_fresh):
    store = open_fresh("sqlite")
    fill(store)
    file = bytearray(exported(store))
    file[len(file) // 2] ^= 0xFF
    with pytest.raises(StoreError, match="no whole export"):
        open_fresh("sqlite").import_from(io.BytesIO(bytes(file)))


def test_a_file_of_a_newer_version_is_refused(open_fresh, monkeypatch):
    store = open_fresh("sqlite")
    monkeypatch.setattr(transfer, "SCHEMA", transfer_frames.SCHEMA + 1)
    file = exported(store)
    monkeypatch.undo()
    with pytest.raises(StoreTooNew, match="version"):
        store.import_from(io.BytesIO(file))


def test_a_file_of_an_older_version_lacks_columns(open_fresh):
    old, new = open_fresh("sqlite"), open_fresh("sqlite")
    run_ids = fill(old)
    frames = list(msgpack.Unpacker(io.BytesIO(gzip.decompress(exported(old)))))
    position = frames[0]["columns"]["runs"].index("deployment")
    del frames[0]["columns"]["runs"][position]
    for frame in frames[1:]:
        if frame[:2] == ["rows", "runs"]:
            for row in frame[2]:
                del row[position]
    new.import_from(io.BytesIO(gzip.compress(b"".join(map(msgpack.packb, frames)))))
    assert contents(new, run_ids) == contents(old, run_ids)


@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize("source", DIALECTS)
def test_tables_that_are_of_no_run_go_along(open_fresh, monkeypatch, source, target):
    notes = Table("notes", ("name", "text"), run=None, order="name")
    monkeypatch.setitem(TABLES, "notes", notes)
    stores = [open_fresh(source), open_fresh(target)]
    for store, text in zip(stores, ("theirs", "mine"), strict=True):
        make = "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT)"
        store._database.write(lambda transaction, make=make: transaction.execute(make))
        rows = [("a", text), (text, text)]
        store._database.write(lambda transaction, rows=rows: transaction.add("notes", rows))
    file = exported(stores[0])
    for _ in range(2):
        stores[1].import_from(io.BytesIO(file))
    found = stores[1]._database.read(
        lambda view: list(view.execute("SELECT name, text FROM notes ORDER BY name"))
    )
    assert found == [("a", "mine"), ("mine", "mine"), ("theirs", "theirs")]
