"""Connections to PostgreSQL that are lost: what was to be written is there once, or it is said."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dataflow import flow, task
from dataflow.errors import StoreUnreachable
from dataflow.execution.loop.process_loop import close_run_loop
from dataflow.model.states import StateCode
from dataflow.store.run_store import RunStore, open_store
from tests.store.line import Line
from tests.store.postgres_server import PostgresServer
from tests.store.samples import fresh_run_id, log_record, map_batch, run_record, run_state


@pytest.fixture
def line(postgres: PostgresServer):
    # the name of a socket must be short
    with TemporaryDirectory() as folder, Line(Path(folder), postgres.socket_folder) as line:
        yield line


@pytest.fixture
def url(postgres: PostgresServer, line: Line) -> str:
    """A store at the other end of the line."""
    return PostgresServer(line.folder).fresh_url()


@pytest.fixture
def store(url: str):
    with contextlib.closing(open_store(url)) as opened:
        yield opened


def messages(store: RunStore, run_id: str = "r") -> list[str]:
    return [each.message for each in store.logs(run_id)]


def test_the_writer_tries_until_the_server_is_back(store, line):
    store.write([log_record("r", "before")])
    line.cut()
    line.mend_after(refused=2)
    store.write([log_record("r", "after")])
    assert messages(store) == ["before", "after"]


@pytest.mark.parametrize("delivers", [False, True])
def test_a_commit_that_nobody_answered_takes_place_once(store, line, delivers):
    line.delivers, line.watched = delivers, b"COMMIT"
    line.mend_after(refused=1)
    run_id = fresh_run_id()
    store.write([run_record(run_id), log_record(run_id, "once"), map_batch(run_id, 1, 0, [6] * 9)])
    assert not line.watched
    assert messages(store, run_id) == ["once"]
    assert store.info().batches == 1


def test_a_write_that_breaks_in_the_middle_is_done_anew(store, line):
    line.watched = b"COPY"
    line.mend_after(refused=1)
    store.write([log_record("r", "once"), run_record(fresh_run_id())])
    assert messages(store) == ["once"]


def test_readers_make_new_connections(store, line):
    store.write([log_record("r", "here")])
    assert messages(store) == ["here"]
    line.cut()
    line.mend()
    assert messages(store) == ["here"]
    line.cut()
    with pytest.raises(StoreUnreachable):
        messages(store)
    line.mend()
    assert messages(store) == ["here"]


def test_a_server_that_stays_away(monkeypatch, url, line):
    monkeypatch.setenv("DATAFLOW_STORE_RETRY_SECONDS", "0.3")
    with contextlib.closing(open_store(url)) as store:
        line.cut()
        with pytest.raises(StoreUnreachable, match="cannot be reached"):
            store.write([log_record("r", "lost")])
        assert line.refused > 1
        before = line.refused
        with pytest.raises(StoreUnreachable):
            store.write([log_record("r", "lost, too")])
        assert line.refused == before + 1
        line.mend()
        store.write([log_record("r", "kept")])
        assert messages(store) == ["kept"]


def test_sessions_that_the_server_ends(postgres, store):
    store.write([log_record("r", "one")])
    assert messages(store) == ["one"]
    postgres.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dataflow'"
        f" AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE '%{_schema(store)}%')"
    )
    store.write([log_record("r", "two")])
    assert messages(store) == ["one", "two"]


def _schema(store) -> str:
    schema: str = store.place.schema
    return schema


@pytest.fixture
def in_this_store(monkeypatch, url):
    """Flows are recorded at the other end of the line."""
    close_run_loop()
    monkeypatch.setenv("DATAFLOW_STORE_URL", url)
    yield
    close_run_loop()


def test_a_run_goes_on_when_its_store_comes_back(in_this_store, url, line):
    @task
    def step(number):
        if number == 50:
            line.cut()
            line.mend_after(refused=2)
        return number

    @flow(task_runner="threads")
    def steps():
        return sum(step.map(range(100)).result()) + step(1)

    assert steps() == sum(range(100)) + 1
    with contextlib.closing(open_store(url)) as store:
        (run,) = store.find_runs()
        assert run.state.code == StateCode.COMPLETED
        assert [node.counts for node in store.nodes(run.run_id)] == [
            {"Completed": 100},
            {"Completed": 1},
        ]


def test_a_run_whose_store_stays_away_ends_and_says_so(monkeypatch, in_this_store, url, line):
    monkeypatch.setenv("DATAFLOW_STORE_RETRY_SECONDS", "0.3")

    @task
    def step(number):
        if number == 50:
            line.cut()
        return number

    @flow(task_runner="threads")
    def steps():
        return step.map(range(100)).result()

    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        steps()
    line.mend()
    with contextlib.closing(open_store(url)) as store:
        (run,) = store.find_runs()
        assert run.state.is_running()
        close_run_loop()  # as when the process ends
        (run,) = store.find_runs()
        assert run.state.is_failed()
        assert "StoreUnreachable" in str(run.state.message)


def test_readers_and_writers_do_not_wait_for_each_other(store):
    run_id = fresh_run_id()
    store.write([run_record(run_id), run_state(run_id, StateCode.RUNNING)])
    writing, go_on = threading.Event(), threading.Event()

    def hold(transaction):
        transaction.add("logs", [(1, None, None, 1, 1, 20, "l", "not yet", None, 0)])
        transaction.hold(range(32))
        writing.set()
        assert go_on.wait(60)

    thread = threading.Thread(target=store._database.write, args=(hold,))
    thread.start()
    assert writing.wait(60)
    assert store.run(run_id).state.is_running()
    assert store.info().logs == 0
    go_on.set()
    thread.join()
    assert store.info().logs == 1
