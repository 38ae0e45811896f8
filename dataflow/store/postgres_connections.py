"""Connections to one PostgreSQL database: one that writes, and as many as needed that read.

Promises: a connection that breaks while something is written is made anew, again and again for a
while, and what was to be written is then there once: whether a commit that nobody answered took
place is asked of the server. A forked child never touches its parent's connections.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from dataflow.errors import StoreError
from dataflow.store.database import Action, DatabaseFacts, FoundRow, Transaction
from dataflow.store.postgres_errors import explain, is_about_text, is_passing, too_old
from dataflow.store.postgres_schema import LATEST, check_version, is_current, migrate
from dataflow.store.postgres_transaction import PostgresTransaction
from dataflow.store.postgres_url import PostgresUrl
from dataflow.store.tables import TABLES

T = TypeVar("T")
Connection = psycopg.Connection[FoundRow]

_IDLE_READERS = 4
_OLDEST_SERVER = 130_000
_USE_SCHEMA = "SELECT set_config('search_path', quote_ident(%s), false)"
# whoever was stopped in the middle of a write must not hold up all others
_END_WHEN_STUCK = "SET idle_in_transaction_session_timeout = '60s'"
_VIEW = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_log = logging.getLogger("dataflow.store")
_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_abandoned: list[object] = []


@dataclass(slots=True)
class _Effort:
    """What is known of a write that may take several tries.

    Attributes:
        commit: the number of a transaction whose commit was sent.
        result: what is to be returned if that took place.
        is_told: whether it was said that the write is tried again.
    """

    commit: str | None = None
    result: Any = None
    is_told: bool = False


class Connections:
    """The connections of this process to one database.

    Args:
        place: the database, and the schema in it, which is made if it is not there.
        patience_seconds: how long a database that is away may stay so while something is written;
            after that each write is tried but once, until one succeeds.
    """

    takes_nul = False

    def __init__(self, place: PostgresUrl, patience_seconds: float) -> None:
        self.place = place
        self.shown = place.shown
        self._patience = patience_seconds
        self._reset()
        _all.add(self)
        with self._writing:
            try:
                self._open_writer()
            except psycopg.Error as error:
                raise explain(error, self.shown) from error

    def _reset(self) -> None:
        self._writing = threading.Lock()
        self._gate = threading.Lock()
        self._writer: Connection | None = None
        self._readers: list[Connection] = []
        self._is_given_up = False
        self._closed = False

    def write(self, action: Action[T]) -> T:
        """See :meth:`dataflow.store.database.Database.write`."""
        with self._writing:
            effort = _Effort()
            pauses = _pauses(0.0 if self._is_given_up else self._patience)
            while True:
                try:
                    return self._transact(action, effort)
                except BaseException as error:
                    self._undo()
                    if not isinstance(error, psycopg.Error):
                        raise
                    pause = self._pause_after(error, pauses, effort)
                time.sleep(pause)

    def _transact(self, action: Action[T], effort: _Effort) -> T:
        connection = self._open_writer()
        if effort.commit is None or not _took_place(connection, effort.commit):
            effort.commit = None
            transaction = PostgresTransaction(connection)
            connection.execute("BEGIN")
            ((number, version),) = transaction.rows("begin_write")
            if version != LATEST:
                check_version(version, self.place)  # a newer version came while this one ran
            effort.result = action(transaction)
            effort.commit = number
            connection.execute("COMMIT")
        self._is_given_up = False
        result: T = effort.result
        return result

    def _pause_after(self, error: psycopg.Error, pauses: Iterator[float], effort: _Effort) -> float:
        """How long to wait before a write is tried again; raises where that is of no use."""
        if is_about_text(error):
            raise UnicodeError(str(error)) from error
        pause = next(pauses, None) if is_passing(error) else None
        told = explain(error, self.shown)
        if pause is None:
            self._is_given_up = is_passing(error)
            raise told from error
        if not effort.is_told:
            effort.is_told = True
            _log.warning("%s Trying again for %g s.", told.message, self._patience)
        return pause

    def read(self, action: Action[T], *, again: bool = True) -> T:
        """See :meth:`dataflow.store.database.Database.read`."""
        try:
            connection, is_old = self._take_reader()
            try:
                return self._look(connection, action)
            except psycopg.Error as error:  # an idle connection may be dead long since
                if not (is_old and again and is_passing(error)):
                    raise
                self._drop_readers()
            connection, _ = self._take_reader()
            return self._look(connection, action)
        except psycopg.Error as error:
            raise explain(error, self.shown) from error

    def _look(self, connection: Connection, action: Action[T]) -> T:
        try:
            connection.execute(_VIEW)
            return action(PostgresTransaction(connection))
        finally:
            self._put_back(connection)

    def version(self) -> int:
        """See :meth:`dataflow.store.database.Database.version`; other databases count as well."""
        return self.read(lambda view: hash(view.row("snapshot")))

    def facts(self) -> DatabaseFacts:
        """See :meth:`dataflow.store.database.Database.facts`."""

        def ask(view: Transaction) -> DatabaseFacts:
            ((version,),) = view.execute("SHOW server_version")
            ((schema,),) = view.rows("schema_version")
            ((size,),) = view.rows("schema_bytes")
            return DatabaseFacts(f"PostgreSQL {version}", schema, size, None)

        return self.read(ask)

    def vacuum(self) -> None:
        """See :meth:`dataflow.store.database.Database.vacuum`."""
        with self._writing:
            try:
                connection = self._open_writer()
                connection.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}".encode())
            except psycopg.Error as error:
                self._undo()
                raise explain(error, self.shown) from error

    def backup(self, path: Path) -> None:
        """See :meth:`dataflow.store.database.Database.backup`."""
        raise StoreError(
            f"The store {self.place} is no file, and cannot be copied to {path}.",
            hint="`dataflow store export FILE` writes all runs to a file; pg_dump copies all that "
            "there is.",
            url=self.shown,
        )

    def close(self) -> None:
        """Close what is open; does nothing if that has been done."""
        with self._writing:
            self._closed = True
            self._drop_writer()
            self._drop_readers()

    def _open_writer(self) -> Connection:
        self._check_open()
        if self._writer is not None and not self._writer.closed:
            return self._writer
        connection = self._connect()
        try:
            if connection.info.server_version < _OLDEST_SERVER:
                raise too_old(self.shown, connection.info.server_version)
            if not is_current(connection, self.place):
                migrate(connection, self.place)
            connection.execute(_END_WHEN_STUCK)
        except BaseException:  # Ctrl-C as well: no connection stays open
            connection.close()
            raise
        self._writer = connection
        return connection

    def _connect(self) -> Connection:
        connection = psycopg.connect(**self.place.options, autocommit=True)
        try:
            connection.execute(_USE_SCHEMA, (self.place.schema,))
        except BaseException:  # as above
            connection.close()
            raise
        return connection

    def _take_reader(self) -> tuple[Connection, bool]:
        with self._gate:
            self._check_open()
            if self._readers:
                return self._readers.pop(), True
        return self._connect(), False

    def _put_back(self, connection: Connection) -> None:
        """End what it did, and keep it, if both are possible."""
        if _roll_back(connection):
            with self._gate:
                if not self._closed and len(self._readers) < _IDLE_READERS:
                    self._readers.append(connection)
                    return
        connection.close()

    def _undo(self) -> None:
        if self._writer is not None and not _roll_back(self._writer):
            self._drop_writer()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _drop_readers(self) -> None:
        with self._gate:
            while self._readers:
                self._readers.pop().close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"The store {self.place} has been closed.", url=self.shown)

    def after_fork_in_child(self) -> None:
        """Begin anew: the parent's connections are not this process's to use, nor to close."""
        closed = self._closed
        _abandoned.append((self._writer, self._readers))
        self._reset()
        self._closed = closed


def _pauses(seconds: float) -> Iterator[float]:
    """Pauses between tries, longer and longer, until so much time has passed."""
    deadline = time.monotonic() + seconds
    pause = 0.05
    while time.monotonic() < deadline:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 1.5, 2.0)


def _roll_back(connection: Connection) -> bool:
    """End an open transaction; False if the connection is of no use any more."""
    try:
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.execute("ROLLBACK")
    except psycopg.Error:
        return False
    return not connection.closed


def _took_place(connection: Connection, number: str) -> bool:
    """Whether a commit that nobody answered took place; waits for it to be decided."""
    while True:
        ((fate,),) = PostgresTransaction(connection).rows("fate_of_write", (number,))
        if fate != "in progress":
            return bool(fate == "committed")
        time.sleep(0.05)


def _after_fork_in_child() -> None:
    for connections in list(_all):
        connections.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
