"""Looking after runs, in a SQLite store: see :class:`dataflow.store.run_control.RunControl`."""

from __future__ import annotations

import sqlite3

from dataflow.clock import now_ns
from dataflow.errors import InvalidTransition
from dataflow.model.records import RunStateRecord
from dataflow.model.states import StateCode
from dataflow.process_ids import ProcessId
from dataflow.store.named_sql import load_statements
from dataflow.store.run_control import Driven
from dataflow.store.run_keys import run_key
from dataflow.store.sqlite_connections import Connections
from dataflow.store.sqlite_writer import put_states

_GONE = "The process of the run ({}) is gone; nobody heard it end."


class SqliteRunControl:
    """The control of the runs in one file.

    Args:
        connections: those to the file.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def version(self) -> int:
        """See :meth:`RunControl.version`."""
        return self._connections.data_version()

    def beat(self, process: ProcessId) -> None:
        """See :meth:`RunControl.beat`."""
        sql = load_statements("sqlite_control")["beat"]
        self._connections.write(lambda c: c.execute(sql, (now_ns(), *process)))

    def driver(self, run_id: str) -> ProcessId | None:
        """See :meth:`RunControl.driver`."""
        sql = load_statements("sqlite_control")["driver"]
        row = self._connections.read(lambda c: c.execute(sql, (run_key(run_id),)).fetchone())
        return None if row is None else ProcessId(*row)

    def wanted(self, process: ProcessId) -> list[tuple[str, int, str | None]]:
        """See :meth:`RunControl.wanted`."""
        sql = load_statements("sqlite_control")["wanted"]
        return self._connections.read(lambda c: c.execute(sql, process).fetchall())

    def end_below(self, run_id: str, code: int, message: str) -> None:
        """See :meth:`RunControl.end_below`."""
        sql = load_statements("sqlite_control")["undriven_descendants"]
        if self._connections.read(lambda c: c.execute(sql, (run_id,)).fetchone()) is not None:
            self._connections.write(lambda c: _end_below(c, run_id, StateCode(code), message))

    def crash_vanished(self) -> list[str]:
        """See :meth:`RunControl.crash_vanished`."""
        vanished = self._connections.read(_vanished)
        if not vanished:
            return []
        return self._connections.write(lambda c: _crash(c, vanished))

    def has_committed(self, key: str) -> bool:
        """See :meth:`RunControl.has_committed`."""
        sql = load_statements("sqlite_control")["has_committed"]
        return self._connections.read(lambda c: c.execute(sql, (key,)).fetchone()) is not None

    def note_committed(self, key: str, run_id: str) -> None:
        """See :meth:`RunControl.note_committed`."""
        sql = load_statements("sqlite_control")["note_committed"]
        self._connections.write(lambda c: c.execute(sql, (key, run_id, now_ns())))

    def due_hooks(self) -> list[str]:
        """See :meth:`RunControl.due_hooks`."""
        sql = load_statements("sqlite_control")["due_hooks"]
        return [row[0] for row in self._connections.read(lambda c: c.execute(sql).fetchall())]

    def claim_hooks(self, run_id: str) -> bool:
        """See :meth:`RunControl.claim_hooks`."""
        sql = load_statements("sqlite_control")["claim_hooks"]
        return self._connections.write(lambda c: c.execute(sql, (run_key(run_id),)).rowcount > 0)


def _vanished(connection: sqlite3.Connection) -> list[Driven]:
    rows = connection.execute(load_statements("sqlite_control")["drivers"])
    driven = [Driven(row[0], ProcessId(*row[1:4]), row[4]) for row in rows]
    now = now_ns()
    return [each for each in driven if each.has_vanished(now)]


def _crash(connection: sqlite3.Connection, vanished: list[Driven]) -> list[str]:
    """End those that are still driven by whom they were when they were found."""
    crashed = []
    known = set(_vanished(connection))
    for driven in vanished:
        if driven not in known:
            continue
        process = driven.process
        key = run_key(driven.run_id)
        connection.execute(load_statements("sqlite_control")["note_due_hooks"], (key,))
        message = _GONE.format(f"{process.pid} on {process.place.partition('/')[0]}")
        if _end(connection, driven.run_id, StateCode.CRASHED, message):
            crashed.append(driven.run_id)
        _end_below(connection, driven.run_id, StateCode.CRASHED, message)
    return crashed


def _end_below(connection: sqlite3.Connection, run_id: str, code: StateCode, said: str) -> None:
    sql = load_statements("sqlite_control")["undriven_descendants"]
    for (below,) in connection.execute(sql, (run_id,)).fetchall():
        _end(connection, below, code, said)


def _end(connection: sqlite3.Connection, run_id: str, code: StateCode, message: str) -> bool:
    """End a run, if it has not ended."""
    record = RunStateRecord(run_id, int(code), code.state_name, message, now_ns())
    try:
        put_states([record], connection)
    except InvalidTransition:  # what has ended is driven by nobody
        for name in ("drop_driver", "claim_hooks"):
            connection.execute(load_statements("sqlite_control")[name], (run_key(run_id),))
        return False
    return True
