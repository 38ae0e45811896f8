"""A SQLite file becomes a store: made when it is not there, brought up to date when it is older.

Several processes may come at once: the file is changed in one transaction, by whoever gets it
first; the others find it done. The version is SQLite's own ``user_version``, and ``application_id``
marks the file as ours, so that nobody else's database is ever written into.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dataflow.errors import StoreError, StoreTooNew
from dataflow.store.named_sql import latest_version, load_migrations
from dataflow.store.sqlite_errors import not_a_database, unwritable

APPLICATION_ID = 0x64666C77
"""``dflw``"""
LATEST = latest_version("sqlite")


def prepare_place(path: Path) -> None:
    """Make the folder of a store, and see that the store can be written.

    Raises:
        StoreUnwritable: it cannot.
        StoreNotADatabase: a folder is in its place.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, f"its folder cannot be made ({error.strerror})") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise unwritable(path, "its folder is read-only, or belongs to someone else")
    if path.is_dir():
        raise not_a_database(path, "is a folder")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise unwritable(path, "the file is read-only, or belongs to someone else")


def is_current(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the store has the schema that this version knows.

    Raises:
        StoreTooNew: it has a later one.
        StoreNotADatabase: it is the database of another program.
    """
    # in this order: another process may make the store between the two
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    if _pragma(connection, "application_id") != APPLICATION_ID:
        if has_tables:
            raise not_a_database(path, "is the database of another program")
        return False
    version = schema_version(connection)
    if version > LATEST:
        raise StoreTooNew(
            f"The store {path} has version {version}; this dataflow knows versions up to {LATEST}.",
            hint="Upgrade dataflow-runtime, or set DATAFLOW_HOME to another folder.",
            path=str(path),
            version=version,
        )
    return version == LATEST


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the schema that is there."""
    return _pragma(connection, "user_version")


def use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Have writers and readers not wait for each other; the file remembers it."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"The file system of {path} cannot be shared by processes (no write-ahead log).",
            hint="Set DATAFLOW_HOME to a folder on a local disk.",
            path=str(path),
        )


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply what is missing; a write transaction is open."""
    if is_current(connection, path):
        return
    version = schema_version(connection)
    for number, migration in load_migrations("sqlite").items():
        if number > version:
            for statement in split_statements(migration):
                connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {LATEST}")


def split_statements(text: str) -> Iterator[str]:
    """The statements of a script (``executescript`` would end the transaction)."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
