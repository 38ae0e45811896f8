"""PostgreSQL: how it is named, made, migrated and refused; what is said, and what never is."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from dataflow.cli import main
from dataflow.errors import (
    DataflowError,
    RunNotFound,
    StoreError,
    StoreNotADatabase,
    StoreTooNew,
    StoreUnreachable,
    StoreUnwritable,
)
from dataflow.settings import get_settings
from dataflow.store.named_sql import load_migrations
from dataflow.store.run_keys import run_key
from dataflow.store.run_store import open_store
from dataflow.store.sqlite_schema import LATEST
from dataflow.store.store_places import find_place, without_secrets
from dataflow.testing import dataflow_test_harness
from tests.store import postgres_server
from tests.store.postgres_server import PASSWORD, ROLE, PostgresServer, fresh_name, running_server
from tests.store.programs import ROOT
from tests.store.samples import fresh_run_id, log_record, run_record, run_timing_record

SECRET = quote(PASSWORD, safe="")


def schema_of(postgres: PostgresServer, schema: str) -> list[tuple]:
    """Columns, indexes and sequences of a schema, without its name."""
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default "
        f"FROM information_schema.columns WHERE table_schema = '{schema}' ORDER BY 1, 2"
    )
    indexes = f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{schema}' ORDER BY 1"
    sequences = f"SELECT sequencename FROM pg_sequences WHERE schemaname = '{schema}' ORDER BY 1"
    rows = [row for each in (columns, indexes, sequences) for row in postgres.ask(each)]
    assert len(rows) > 90
    return [tuple(str(value).replace(schema, "S") for value in row) for row in rows]


def old_store(postgres: PostgresServer, version: int) -> str:
    """A schema as an earlier version has left it."""
    schema = fresh_name()
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"SET search_path = {schema}")
        for number, migration in load_migrations("postgres").items():
            if number <= version:
                connection.execute(migration)
        connection.execute(f"UPDATE dataflow_schema SET version = {version}")
    return schema


def test_from_every_version_to_the_same_schema(postgres):
    fresh = fresh_name()
    open_store(postgres.url(schema=fresh)).close()
    for version in load_migrations("postgres"):
        schema = old_store(postgres, version)
        open_store(postgres.url(schema=schema)).close()
        assert schema_of(postgres, schema) == schema_of(postgres, fresh)
        assert postgres.ask(f"SELECT version FROM {schema}.dataflow_schema") == [(LATEST,)]


def test_an_older_store_keeps_its_runs_and_takes_new_ones(postgres):
    schema, old, new = old_store(postgres, 1), fresh_run_id(), fresh_run_id()
    postgres.ask(
        f"INSERT INTO {schema}.runs (key, run_id, flow_name, name, tags, runner, created_ns, pid, "
        f"host, parameters_json) VALUES ({run_key(old)}, '{old}', 'etl', 'old-run', '[]', "
        "'inline', 1, 1, 'box', '{}')"
    )
    with contextlib.closing(open_store(postgres.url(schema=schema))) as store:
        assert store.run(old).name == "old-run"
        assert store.phases(old) is None
        store.write([run_record(new), run_timing_record(new)])
        assert store.phases(new) is not None


def test_a_newer_store_is_refused(postgres):
    schema = fresh_name()
    url = postgres.url(schema=schema)
    with contextlib.closing(open_store(url)) as store:
        postgres.ask(f"UPDATE {schema}.dataflow_schema SET version = {LATEST + 1}")
        with pytest.raises(StoreTooNew, match=f"version {LATEST + 1}") as caught:
            open_store(url)
        assert "Upgrade" in str(caught.value.hint)
        with pytest.raises(StoreTooNew):
            store.write([log_record("r", "into a store that was upgraded meanwhile")])
        postgres.ask(f"UPDATE {schema}.dataflow_schema SET version = {LATEST}")
        assert store.logs("r") == []


def test_the_schema_of_another_program_is_refused_and_kept(postgres):
    schema = fresh_name()
    postgres.ask(f"CREATE SCHEMA {schema}")
    postgres.ask(f"CREATE TABLE {schema}.runs (x int)")
    with pytest.raises(StoreNotADatabase, match="another program") as caught:
        open_store(postgres.url(schema=schema))
    assert "schema=" in str(caught.value.hint)
    names = postgres.ask(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")
    assert names == [("runs",)]


def test_a_server_that_is_too_old_is_refused(postgres, monkeypatch):
    monkeypatch.setattr("dataflow.store.postgres_connections._OLDEST_SERVER", 990_000)
    with pytest.raises(StoreError, match="13 or later"):
        open_store(postgres.fresh_url())


def test_a_schema_of_any_name_and_stores_that_do_not_mix(postgres):
    names = [f'{fresh_name()} "quoted"; Ä', fresh_name()]
    stores = [open_store(postgres.url(schema=quote(name))) for name in names]
    for number, store in enumerate(stores):
        store.write([run_record(f"{number}" * 32)])
    assert [[run.run_id[0] for run in store.find_runs()] for store in stores] == [["0"], ["1"]]
    for store in stores:
        store.close()


def test_a_user_with_a_password_and_the_rights_that_are_needed(postgres):
    database = postgres.fresh_database()
    url = postgres.url(database, user=f"{ROLE}:{SECRET}")
    with pytest.raises(StoreUnwritable, match="right to do so is missing") as caught:
        open_store(url)
    assert "GRANT" in str(caught.value.hint)
    postgres.ask(f"CREATE SCHEMA dataflow AUTHORIZATION {ROLE}", database)
    with contextlib.closing(open_store(url)) as store:
        store.write([run_record("1" * 32)])
        assert len(store.find_runs()) == 1
        with pytest.raises(RunNotFound, match=rf"in the store postgresql://{ROLE}:\*\*\*@") as lost:
            store.run("another")
        assert SECRET not in str(lost.value) and PASSWORD not in str(lost.value)
        assert PASSWORD not in repr(store) and SECRET not in repr(store)


@pytest.mark.parametrize(
    ("wrong", "says", "hints"),
    [
        ("password", "password authentication failed", "PGPASSWORD"),
        ("database", 'database "nowhere" does not exist', "createdb"),
        ("role", 'role "nobody" does not exist', "createuser"),
        ("socket", "No such file", "whether the server runs"),
        ("port", "Connection refused", "whether the server runs"),
        ("host", "resolve", "host"),
    ],
)
def test_what_does_not_answer_is_told_without_secrets(postgres, tmp_path, wrong, says, hints):
    keeper = f"{ROLE}:{SECRET}"
    url = {
        "password": postgres.url(user=f"{ROLE}:{SECRET}x"),
        "database": postgres.url("nowhere", user=keeper),
        "role": postgres.url(user=f"nobody:{SECRET}"),
        "socket": f"postgresql://{keeper}@/postgres?host={quote(str(tmp_path))}",
        "port": f"postgresql://{keeper}@127.0.0.1:1/postgres",
        "host": f"postgresql://{keeper}@no-such-host.invalid/postgres",
    }[wrong]
    with pytest.raises(StoreUnreachable, match=says) as caught:
        open_store(url)
    assert hints in str(caught.value.hint)
    assert isinstance(caught.value, ConnectionError)
    tell = f"{caught.value!r} {caught.value} {caught.value.fields} {caught.value.__cause__}"
    assert PASSWORD not in tell and SECRET not in tell
    assert "***@" in str(caught.value)


@pytest.mark.parametrize("wrong", ["password", "database"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "ls"],
        ["run", "flows.py:begins"],
        ["store", "info"],
        ["store", "prune", "--older-than", "1d"],
        ["limits", "create", "db", "--limit", "1"],
    ],
)
def test_the_command_line_tells_it_too(postgres, wrong, arguments, tmp_path, monkeypatch, capsys):
    secret = SECRET if wrong == "database" else f"{SECRET}x"
    url = postgres.url("nowhere" if wrong == "database" else "postgres", user=f"{ROLE}:{secret}")
    (tmp_path / "flows.py").write_text(
        "from dataflow import flow\n\n@flow\ndef begins():\n    print('it began')\n"
    )
    monkeypatch.chdir(tmp_path)
    with dataflow_test_harness(None, home=tmp_path, log_to_terminal=False, store_url=url):
        assert main(arguments) == 1
    told = capsys.readouterr()
    why = "authentication failed" if wrong == "password" else 'database "nowhere" does not exist'
    assert told.err.startswith("Error: The store postgresql://keeper:***@/")
    assert why in told.err and "\n  Hint: See to " in told.err
    assert "it began" not in told.out and "Traceback" not in told.err
    assert SECRET not in told.err and PASSWORD not in told.err


def test_a_flow_does_not_begin_without_its_store(tmp_path):
    program = (
        "from dataflow import flow\n"
        "@flow(task_runner='inline')\n"
        "def begins():\n"
        "    print('it began')\n"
        "begins()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "PYTHONPATH": str(ROOT),
            "DATAFLOW_HOME": str(tmp_path),
            "DATAFLOW_STORE_URL": f"postgresql://me:{SECRET}@127.0.0.1:1/x",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "it began" not in done.stdout
    assert "cannot be reached" in done.stderr
    assert "dataflow/store" not in done.stderr  # it is no mistake of ours
    assert SECRET not in done.stderr and PASSWORD not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sec ret@host:port/db",
        "postgresql://u:sec/ret@host/db",
        "postgresql://u:sec?ret@host/db",
        "postgresql://u:sec#ret@host/db",
        "postgresql://u:secret@host:nan/db",
        "postgresql://u:secret@host/db?nonsense=secret",
        "postgresql://u:secret@[::1/db",
        "postgres://u:secret@/db?host=%zz",
        "mysql://u:secret@host/db",
    ],
)
def test_a_url_that_is_not_well_formed_is_refused_without_its_secrets(url):
    with pytest.raises(DataflowError) as caught:
        open_store(url)
    assert isinstance(caught.value, StoreError)
    tell = f"{caught.value!r} {caught.value} {caught.value.fields} {caught.value.__cause__}"
    assert "sec" not in tell and "ret@" not in tell


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5/db", "postgresql://u:***@h:5/db"),
        ("postgresql://u@h/db?schema=s&password=x", "postgresql://u@h/db?schema=s"),
        ("postgres:///db?host=/run/pg&sslpassword=x", "postgres:///db?host=/run/pg"),
        ("postgresql://u:p@[::1]/db", "postgresql://u:***@[::1]/db"),
        ("postgresql://u:p%40%2F@h/db", "postgresql://u:***@h/db"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    assert without_secrets(url) == shown
    assert str(find_place(url)) == shown
    assert url not in repr(find_place(url))


def test_settings_do_not_show_the_password(monkeypatch):
    monkeypatch.setenv("DATAFLOW_STORE_URL", "postgresql://u:secret@h/db")
    assert get_settings().store_url == "postgresql://u:secret@h/db"
    assert "secret" not in repr(get_settings())


def test_where_there_is_no_server_tests_are_skipped_but_not_on_ci(monkeypatch):
    def cannot(session: str) -> None:
        raise OSError("no such program")

    monkeypatch.setattr(postgres_server, "_start", cannot)
    for value, outcome in (("", pytest.skip.Exception), ("true", pytest.fail.Exception)):
        monkeypatch.setenv("CI", value)
        with pytest.raises(outcome, match="no such program"), running_server("x"):
            pass


def test_without_psycopg_the_error_says_what_to_install(tmp_path):
    program = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from dataflow.store.run_store import open_store\n"
        "from dataflow.errors import MissingExtra\n"
        "try:\n"
        "    open_store('postgresql://u:secret@h/db')\n"
        "except MissingExtra as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "pip install 'dataflow-runtime[postgres]'" in done.stdout
    assert "secret" not in done.stdout


def test_a_file_store_needs_no_psycopg(tmp_path):
    program = (
        "import sys\n"
        "from dataflow.store.run_store import open_store\n"
        f"open_store({str(tmp_path / 'runs.db')!r}).find_runs()\n"
        "assert 'psycopg' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True)
    assert Path(tmp_path / "runs.db").exists()
