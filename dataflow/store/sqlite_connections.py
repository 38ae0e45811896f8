"""Connections to one SQLite file: one that writes, and as many as needed that read.

Promises: nobody sees "database is locked", however many processes share the file; whoever waits
for the write lock waits a random while between tries, so that nobody starves (SQLite's own waiting
is in lockstep). No connection is open while the process forks, so that none is carried into a
child: SQLite's locks would not hold there. A file that was replaced is opened anew.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import TypeVar, cast

from dataflow.errors import DataflowError, StoreError
from dataflow.store.database import Action, DatabaseFacts, Transaction
from dataflow.store.sqlite_checkpoints import MOST_PAGES, Checkpoints
from dataflow.store.sqlite_copies import check_copy
from dataflow.store.sqlite_errors import explain, is_busy
from dataflow.store.sqlite_schema import (
    LATEST,
    is_current,
    migrate,
    prepare_place,
    schema_version,
    use_wal,
)
from dataflow.store.sqlite_transaction import SqliteTransaction

T = TypeVar("T")

_PATIENCE_SECONDS = 300.0
_FORK_SECONDS = 10.0
_IDLE_READERS = 4
_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_abandoned: list[object] = []


class Connections:
    """The connections of this process to one file.

    Args:
        path: the file; it is made if it is not there.
        patience_seconds: how long the write lock may be held by others before this gives up.
    """

    takes_nul = True

    def __init__(self, path: Path, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self.path = path
        self.shown = str(path)
        self._patience = patience_seconds
        self._reset()
        _all.add(self)
        with self._writing:
            self._open_writer()

    def _reset(self) -> None:
        self._writing = threading.Lock()
        self._gate = threading.Condition(threading.Lock())
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._in_use = 0
        self._identity: tuple[int, int] | None = None
        self._fork_locked = (False, False)
        self._closed = False
        self._checkpoints = Checkpoints(self.path, self._checkpoint)

    def write(self, action: Action[T]) -> T:
        """See :meth:`dataflow.store.database.Database.write`; only the beginning has to wait."""
        with self._writing:
            connection = self._open_writer()
            try:
                self._retry(lambda: connection.execute("BEGIN IMMEDIATE"))
                if schema_version(connection) != LATEST:
                    is_current(connection, self.path)  # a newer version came while this one ran
                result = action(SqliteTransaction(connection))
                connection.execute("COMMIT")
                self._checkpoints.note_write()
                return result
            except BaseException as error:
                self._undo(connection)
                if isinstance(error, sqlite3.Error):
                    self._drop_writer()
                    raise explain(error, self.path) from error
                raise

    def read(self, action: Action[T], *, again: bool = True) -> T:
        """See :meth:`dataflow.store.database.Database.read`; ``action`` must not keep cursors."""
        connection = self._take_reader()
        identity = self._identity
        usable = False
        try:
            result = _look(connection, lambda: self._retry(lambda: _view(connection)), action)
            usable = True
            return result
        except DataflowError:
            usable = True
            raise
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        finally:
            self._put_back(connection, usable=usable and identity == self._identity)

    def version(self) -> int:
        """See :meth:`dataflow.store.database.Database.version`."""
        (version,) = self._on_writer(
            lambda connection: connection.execute("PRAGMA data_version").fetchone()
        )
        return int(version) ^ hash(self._identity)

    def facts(self) -> DatabaseFacts:
        """See :meth:`dataflow.store.database.Database.facts`."""
        pages, free, page_bytes, version = self._on_writer(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size", "user_version")
            ]
        )
        beside = [self.path.with_name(f"{self.path.name}-{end}") for end in ("wal", "shm")]
        size = pages * page_bytes + sum(file.stat().st_size for file in beside if file.exists())
        kind = f"SQLite {sqlite3.sqlite_version}"
        return DatabaseFacts(kind, version, size, free * page_bytes)

    def vacuum(self) -> None:
        """See :meth:`dataflow.store.database.Database.vacuum`."""
        for statement in ("VACUUM", "PRAGMA optimize", "PRAGMA wal_checkpoint(TRUNCATE)"):
            self._on_writer(methodcaller("execute", statement))

    def backup(self, path: Path) -> None:
        """See :meth:`dataflow.store.database.Database.backup`."""

        def copy(transaction: Transaction) -> None:
            target = _connect(path)
            try:
                cast(SqliteTransaction, transaction).connection.backup(target)
            finally:
                target.close()

        self.read(copy)

    def _on_writer(self, action: Callable[[sqlite3.Connection], T]) -> T:
        with self._writing:
            connection = self._open_writer()
            try:
                return self._retry(lambda: action(connection))
            except sqlite3.Error as error:
                raise explain(error, self.path) from error

    def close(self) -> None:
        """Close what is open; does nothing if that has been done."""
        with self._writing, self._gate:
            self._closed = True
            self._drop_writer()
            self._drop_readers()
        self._checkpoints.stop()

    def _checkpoint(self) -> None:
        """Bring what is in the log into the database, as far as nobody has to wait for that."""
        with contextlib.suppress(StoreError, sqlite3.Error):  # it is only put off
            connection = self._take_reader()
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            finally:
                self._put_back(connection, usable=True)

    def _open_writer(self) -> sqlite3.Connection:
        self._check_open()
        identity = _identity(self.path)
        if self._writer is not None and identity == self._identity:
            return self._writer
        self._drop_writer()
        with self._gate:
            self._drop_readers()
        prepare_place(self.path)
        check_copy(self.path)
        try:
            self._writer = self._connect_writer()
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        self._identity = _identity(self.path)
        return self._writer

    def _connect_writer(self) -> sqlite3.Connection:
        connection = _connect(self.path)
        try:
            if not self._retry(lambda: is_current(connection, self.path)):
                self._retry(lambda: use_wal(connection, self.path))
                self._retry(lambda: connection.execute("BEGIN IMMEDIATE"))
                migrate(connection, self.path)
                connection.execute("COMMIT")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -8000")
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_reader(self) -> sqlite3.Connection:
        if _identity(self.path) != self._identity or self._writer is None:
            with self._writing:
                self._open_writer()
        with self._gate:
            self._check_open()
            self._in_use += 1
            if self._readers:
                return self._readers.pop()
        try:
            connection = _connect(self.path)
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            self._put_back(None, usable=False)
            raise explain(error, self.path) from error
        return connection

    def _put_back(self, connection: sqlite3.Connection | None, *, usable: bool) -> None:
        with self._gate:
            self._in_use -= 1
            if connection is not None:
                if usable and not self._closed and len(self._readers) < _IDLE_READERS:
                    self._readers.append(connection)
                else:
                    connection.close()
            self._gate.notify_all()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _drop_readers(self) -> None:
        while self._readers:
            self._readers.pop().close()

    def _undo(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop_writer()  # closing rolls back

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"The store {self.path} has been closed.", path=str(self.path))

    def _retry(self, action: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience
        pause = 0.0005
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, 0.02)

    def before_fork(self) -> None:
        """Wait until nothing is under way, close everything, and keep it so."""
        writing = self._writing.acquire(timeout=_FORK_SECONDS)
        gate = self._gate.acquire(timeout=_FORK_SECONDS)
        self._fork_locked = (writing, gate)
        if writing and gate:
            self._gate.wait_for(lambda: not self._in_use, timeout=_FORK_SECONDS)
            self._drop_writer()
            self._drop_readers()

    def after_fork_in_parent(self) -> None:
        """Go on; connections are made again when they are needed."""
        writing, gate = self._fork_locked
        if gate:
            self._gate.release()
        if writing:
            self._writing.release()
        self._fork_locked = (False, False)

    def after_fork_in_child(self) -> None:
        """Begin anew: the parent's locks and connections mean nothing here."""
        closed = self._closed
        _abandoned.append((self._writer, self._readers))
        self._reset()
        self._closed = closed


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def _look(connection: sqlite3.Connection, begin: Callable[[], None], action: Action[T]) -> T:
    try:
        begin()
        return action(SqliteTransaction(connection))
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _view(connection: sqlite3.Connection) -> None:
    """Begin to see the store as it is now; only this may find another process in the way."""
    if not connection.in_transaction:
        connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _before_fork() -> None:
    for connections in list(_all):
        connections.before_fork()


def _after_fork_in_parent() -> None:
    for connections in list(_all):
        connections.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for connections in list(_all):
        connections.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
