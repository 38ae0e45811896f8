"""The write-ahead log comes into the database while nobody waits, and does not grow without end."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import Any

import pytest

from dataflow.store import sqlite_checkpoints
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.sqlite_checkpoints import pages_in
from tests.runners.programs import wait_until
from tests.store.programs import beginning, portion
from tests.store.samples import fresh_run_id, log_record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def log(path):
    return path.with_name("runs.db-wal")


@pytest.fixture
def eager(monkeypatch):
    """What is in the log is brought over at once."""
    monkeypatch.setattr(sqlite_checkpoints, "_WORTH_PAGES", 1)
    monkeypatch.setattr(sqlite_checkpoints, "_PAUSE_SECONDS", 0.001)


@pytest.fixture
def never(monkeypatch):
    """Only the bound counts."""
    monkeypatch.setattr(sqlite_checkpoints, "_PAUSE_SECONDS", 3600)


def database_of(store: RunStore) -> Any:
    return store._database  # type: ignore[attr-defined]


def in_database(path, folder) -> int:
    """How many lines the database has without its log."""
    shutil.copy(path, folder / "alone.db")
    with contextlib.closing(sqlite3.connect(folder / "alone.db")) as connection:
        try:
            return connection.execute("SELECT count(*) FROM logs").fetchone()[0]
        except sqlite3.DatabaseError:  # in the middle of it, or nothing there yet
            return -1


def test_what_was_written_comes_over_while_the_store_is_open(path, tmp_path, eager):
    with contextlib.closing(open_store(path)) as store:
        store.write([log_record("r", "x") for _ in range(100)])
        wait_until(lambda: in_database(path, tmp_path) == 100, "the lines are in the database")
        store.write([log_record("r", "y")])
        assert len(store.logs("r")) == 101
    assert [each.name for each in path.parent.glob("runs.db*")] == ["runs.db"]


def test_writing_and_reading_go_on_beside_it(path, eager):
    run_id = fresh_run_id()
    with contextlib.closing(open_store(path)) as store:
        store.write(beginning(run_id))
        for number in range(300):
            store.write(portion(run_id, number))
            assert len(store.nodes(run_id)) == number + 2
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_little_stays_in_the_log(path, log, tmp_path):
    with contextlib.closing(open_store(path)) as store:
        store.write([log_record("r", "x")])
        assert pages_in(log) > 0
        database_of(store)._checkpoints._look()
        assert in_database(path, tmp_path) < 1


def test_pages_of_an_earlier_turn_do_not_count(path, log, never):
    with contextlib.closing(open_store(path)) as store:
        store.write([log_record("r", "x" * 1000) for _ in range(1000)])
        many = pages_in(log)
        database_of(store)._writer.execute("PRAGMA wal_checkpoint(RESTART)")
        store.write([log_record("r", "y")])
        assert 0 < pages_in(log) < 20 < many
        assert log.stat().st_size > many * 4096
    assert pages_in(log) == 0


def test_the_log_has_a_bound(path, log, never):
    lines = [log_record("r", "x" * 4000) for _ in range(1000)]
    with contextlib.closing(open_store(path)) as store:
        for _ in range(25):
            store.write(lines)
            assert log.stat().st_size < 80_000_000
    assert path.stat().st_size > 100_000_000


def test_closing_waits_for_it(path, eager):
    for _ in range(20):
        with contextlib.closing(open_store(path)) as store:
            store.write([log_record("r", "x") for _ in range(100)])
        assert [each.name for each in path.parent.glob("runs.db*")] == ["runs.db"]


def test_a_child_has_its_own(path, eager):
    with contextlib.closing(open_store(path)) as store:
        store.write([log_record("r", "parent")])
        child = os.fork()
        if child == 0:
            store.write([log_record("r", "child")])
            own = database_of(store)._checkpoints
            wait_until(lambda: own._timer is None, "the log was looked at")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        store.write([log_record("r", "parent")])
        assert len(store.logs("r")) == 3
