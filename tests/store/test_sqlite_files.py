"""The file: made, migrated, refused, replaced, full."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from dataflow.errors import StoreError, StoreNotADatabase, StoreTooNew, StoreUnwritable
from dataflow.model.records import AS_A_WHOLE, THE_RUN, DueHooksRecord
from dataflow.model.states import StateCode
from dataflow.process_ids import this_process
from dataflow.store.named_sql import latest_version, load_migrations
from dataflow.store.run_keys import run_key
from dataflow.store.run_store import open_store
from dataflow.store.sqlite_errors import explain
from dataflow.store.sqlite_schema import APPLICATION_ID, LATEST, split_statements
from dataflow.store.store_places import find_place
from tests.store.programs import run_program
from tests.store.samples import fresh_run_id, log_record, run_record, run_timing_record

ROOT = Path(__file__).resolve().parents[2]


def schema_of(path: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def pragma(path: Path, name: str) -> object:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_store_is_made_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "runs.db"
    store = open_store(path)
    store.close()
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "user_version") == LATEST
    assert pragma(path, "application_id") == APPLICATION_ID
    assert [each.name for each in path.parent.iterdir()] == ["runs.db"]


def test_what_was_written_is_there_when_opened_again(tmp_path):
    run_id = fresh_run_id()
    for name in ("one", "two"):
        store = open_store(tmp_path / "runs.db")
        store.write([run_record(run_id, name=name), log_record(run_id, name)])
        store.close()
    store = open_store(tmp_path / "runs.db")
    assert store.run(run_id).name == "two"
    assert [line.message for line in store.logs(run_id)] == ["one", "two"]
    store.close()


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "runs.db").touch()
    open_store(tmp_path / "runs.db").close()
    assert pragma(tmp_path / "runs.db", "user_version") == LATEST


def test_closing_twice_does_nothing_and_use_after_it_is_refused(tmp_path):
    store = open_store(tmp_path / "runs.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.find_runs()
    with pytest.raises(StoreError, match="closed"):
        store.write([])


def test_from_every_version_to_the_same_schema(tmp_path):
    fresh = tmp_path / "fresh.db"
    open_store(fresh).close()
    migrations = load_migrations("sqlite")
    assert max(migrations) == latest_version("sqlite") == LATEST
    for version in migrations:
        path = tmp_path / f"version-{version}.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            for number in range(1, version + 1):
                connection.executescript(migrations.get(number, ""))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version}")
            connection.commit()
        open_store(path).close()
        assert schema_of(path) == schema_of(fresh)


def test_an_older_store_keeps_its_runs_and_takes_new_ones(tmp_path):
    path, old, new = tmp_path / "runs.db", fresh_run_id(), fresh_run_id()
    first = load_migrations("sqlite")[1]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(first)
        names = "key run_id flow_name name tags runner created_ns pid host"
        values = (run_key(old), old, "etl", "old-run", "[]", "inline", 1, 1, "box")
        connection.execute(
            f"INSERT INTO runs ({', '.join(names.split())}, parameters_json) "
            f"VALUES ({', '.join('?' * len(values))}, '{{}}')",
            values,
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    store = open_store(path)
    assert store.run(old).name == "old-run"
    assert store.phases(old) is None
    store.write([run_record(new), run_timing_record(new)])
    assert store.phases(new) is not None
    assert {run.run_id for run in store.find_runs()} == {old, new}
    store.close()


def test_hooks_that_were_due_stay_due_from_version_12_on(tmp_path):
    path, ids = tmp_path / "runs.db", {name: fresh_run_id() for name in ("crashed", "goes on")}
    migrations = load_migrations("sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for number in range(1, 13):
            connection.executescript(migrations.get(number, ""))
        for name, run_id in ids.items():
            code, kind = (12, "CRASHED") if name == "crashed" else (3, "RUNNING")
            values = (run_key(run_id), run_id, name, code, kind, kind.title())
            connection.execute(
                "INSERT INTO runs (key, run_id, flow_name, name, tags, runner, created_ns, pid, "
                "host, parameters_json, state_code, state_type, state_name, state_ns, run_count) "
                "VALUES (?, ?, 'etl', ?, '[]', 'inline', 1, 1, 'box', '{}', ?, ?, ?, 99, 2)",
                values,
            )
        crashed, goes_on = (run_key(ids[name]) for name in ("crashed", "goes on"))
        connection.execute("INSERT INTO due_hooks VALUES (?)", (crashed,))
        connection.execute("INSERT INTO due_task_hooks VALUES (?, 7, 3, 0, 2, 6, 1, 1)", (crashed,))
        place, pid, _ = this_process()
        driver = (goes_on, place, pid, "gone", 1, 1)
        connection.execute("INSERT INTO run_drivers VALUES (?, ?, ?, ?, ?, ?)", driver)
        connection.execute(
            "INSERT INTO run_states VALUES (1, ?, 3, 'Running', '', 98, 2)", driver[:1]
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 12")
        connection.commit()
    store = open_store(path)
    run_id = ids["crashed"]
    assert store.control.due_hooks(run_id) == [
        DueHooksRecord(run_id, 7, 3, 0, 2, StateCode.COMPLETED, 1, 1),
        DueHooksRecord(run_id, 99, THE_RUN, AS_A_WHOLE, 0, StateCode.CRASHED, 2),
    ]
    assert store.control.crash_vanished() == [ids["goes on"]]  # it has hooks for that
    assert set(store.control.runs_with_due_hooks()) == set(ids.values())
    store.close()


def test_migrations_split_into_whole_statements():
    for migration in load_migrations("sqlite").values():
        statements = list(split_statements(migration))
        assert "".join(statements).strip() == migration.strip()
        assert all(sqlite3.complete_statement(each) for each in statements)


def test_a_newer_store_is_refused(tmp_path):
    path = tmp_path / "runs.db"
    store = open_store(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    with pytest.raises(StoreTooNew, match=f"version {LATEST + 1}") as caught:
        open_store(path)
    assert str(path) in str(caught.value)
    assert "Upgrade" in str(caught.value.hint)
    with pytest.raises(StoreTooNew):
        store.write([log_record("r", "into a store that was upgraded meanwhile")])
    store.close()


@pytest.mark.parametrize("content", [b"hello", b"x" * 5000, b"SQLite format 4\0" + b"\0" * 2000])
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    with pytest.raises(StoreNotADatabase, match="not a SQLite database") as caught:
        open_store(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_kept(tmp_path):
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = schema_of(path)
    with pytest.raises(StoreNotADatabase, match="another program"):
        open_store(path)
    assert schema_of(path) == before


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "runs.db").mkdir()
    with pytest.raises(StoreNotADatabase, match="is a folder"):
        open_store(tmp_path / "runs.db")


def test_a_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnwritable, match="cannot be made") as caught:
        open_store(tmp_path / "file" / "home" / "runs.db")
    assert "DATAFLOW_HOME" in str(caught.value.hint)


def test_a_damaged_store_says_so(tmp_path):
    path = tmp_path / "runs.db"
    open_store(path).close()
    empty = path.stat().st_size  # so far it can be read: the schema
    store = open_store(path)
    store.write([log_record("r", "x" * 100) for _ in range(500)])
    store.close()
    content = bytearray(path.read_bytes())
    content[empty:] = b"\xff" * (len(content) - empty)
    path.write_bytes(content)
    store = open_store(path)
    with pytest.raises(StoreError, match="damaged"):
        store.logs("r")
    store.close()


def test_a_full_disk_in_words(tmp_path):
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        connection.rollback()
    error = explain(caught.value, path)
    assert isinstance(error, StoreUnwritable)
    assert "disk is full" in str(error)
    assert "Make room" in str(error.hint)


def test_a_file_that_cannot_grow_loses_nothing(tmp_path):
    run_program("full_disk", tmp_path / "runs.db")


def test_a_folder_and_a_file_without_the_right_to_write(tmp_path):
    run_program("no_rights", tmp_path / "runs.db")


def test_a_file_that_was_removed_is_made_anew(tmp_path):
    home = tmp_path / "home"
    store = open_store(home / "runs.db")
    store.write([run_record("a" * 32)])
    assert len(store.find_runs()) == 1
    shutil.rmtree(home)
    assert store.find_runs() == []
    store.write([run_record("b" * 32)])
    assert [run.run_id for run in store.find_runs()] == ["b" * 32]
    shutil.rmtree(home)
    store.write([run_record("c" * 32)])
    store.close()
    store = open_store(home / "runs.db")
    assert [run.run_id for run in store.find_runs()] == ["c" * 32]
    store.close()


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/a/b.db", "/a/b.db"),
        (Path("/a/b.db"), "/a/b.db"),
        ("sqlite:////a/b.db", "/a/b.db"),
        ("sqlite:///b.db", str(Path.cwd() / "b.db")),
        ("~/b.db", str(Path("~/b.db").expanduser())),
    ],
)
def test_paths_and_urls(place, path):
    assert find_place(place).path == Path(path)


def test_the_place_that_settings_name(monkeypatch, tmp_path):
    monkeypatch.delenv("DATAFLOW_STORE_URL", raising=False)
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path))
    assert find_place().path == tmp_path / "dataflow.db"
    monkeypatch.setenv("DATAFLOW_STORE_URL", f"sqlite:///{tmp_path}/x.db")
    assert find_place().path == tmp_path / "x.db"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://host/db",
        "sqlite://x.db",
        "sqlite:///",
        "http://a/b",
        "sqlite:x.db",
        "postgresql:user:secret@host/db",
        "postgres:/db",
    ],
)
def test_a_url_that_is_not_known(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []  # nothing that is called so
