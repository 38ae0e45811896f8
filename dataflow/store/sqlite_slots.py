"""Limits and their slots, in a SQLite store: see :class:`dataflow.store.slots.Slots`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from dataflow.clock import datetime_of, now_ns
from dataflow.process_ids import ProcessId, is_gone
from dataflow.store.named_sql import load_statements
from dataflow.store.slots import LEASE_SECONDS, Holder, Limit, Request
from dataflow.store.sqlite_connections import Connections

_LEASE_NS = int(LEASE_SECONDS * 1e9)


class _Row(NamedTuple):
    """One row of what is asked of a limit."""

    request: int
    slots: int
    granted: int
    expires_ns: int
    place: str
    pid: int
    started: str
    holder: str
    since_ns: int

    @property
    def process(self) -> ProcessId:
        return ProcessId(self.place, self.pid, self.started)

    def is_over(self, now: int) -> bool:
        """Whether its process is gone, as far as can be told."""
        gone = is_gone(self.process)
        return self.expires_ns < now if gone is None else gone


class SqliteSlots:
    """The limits in one file.

    Args:
        connections: those to the file.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def create(self, name: str, slots: int, decay: float, active: bool) -> bool:
        """See :meth:`Slots.create`."""
        row = (name, slots, decay, active, now_ns())
        return self._changes("create_limit", row)

    def change(
        self, name: str, slots: int | None, decay: float | None, active: bool | None
    ) -> bool:
        """See :meth:`Slots.change`."""
        values = {"name": name, "slots": slots, "decay": decay, "active": active}
        return self._changes("change_limit", values)

    def delete(self, name: str) -> bool:
        """See :meth:`Slots.delete`."""

        def delete(connection: sqlite3.Connection) -> bool:
            _run(connection, "delete_requests", (name,))
            return _run(connection, "delete_limit", (name,)).rowcount > 0

        return self._connections.write(delete)

    def _changes(self, statement: str, values: Any) -> bool:
        return self._connections.write(lambda c: _run(c, statement, values).rowcount > 0)

    def limits(self) -> list[Limit]:
        """See :meth:`Slots.limits`."""
        rows = self._connections.read(lambda c: _run(c, "limits", ()).fetchall())
        return [_limit(row) for row in rows]

    def holders(self, name: str) -> list[Holder]:
        """See :meth:`Slots.holders`."""
        rows = self._connections.read(lambda c: _requests(c, name))
        return [
            Holder(row.holder, row.slots, bool(row.granted), datetime_of(row.since_ns), row.process)
            for row in rows
        ]

    def tag_limits(self) -> frozenset[str]:
        """See :meth:`Slots.tag_limits`."""
        rows = self._connections.read(lambda c: _run(c, "tag_limits", ()).fetchall())
        return frozenset(row[0] for row in rows)

    def known(self, names: Collection[str]) -> dict[str, Limit]:
        """See :meth:`Slots.known`."""
        return self._connections.read(lambda c: _known(c, names))

    def ask(self, request: Request) -> tuple[int, bool]:
        """See :meth:`Slots.ask`."""
        return self._connections.write(lambda c: _ask(c, request))

    def is_next(self, number: int) -> bool:
        """See :meth:`Slots.is_next`."""
        return self._connections.read(lambda c: _can_be_granted(c, number) is not False)

    def grant(self, number: int) -> bool | None:
        """See :meth:`Slots.grant`."""
        return self._connections.write(lambda c: _grant(c, number))

    def give_back(self, number: int) -> None:
        """See :meth:`Slots.give_back`."""
        self._changes("drop_request", (number,))

    def renew(self, numbers: Collection[int]) -> None:
        """See :meth:`Slots.renew`."""
        rows = [(now_ns() + _LEASE_NS, number) for number in numbers]
        sql = load_statements("sqlite_slots")["renew"]
        self._connections.write(lambda c: c.executemany(sql, rows))

    def reserve(self, slots: Mapping[str, int], patience_seconds: float | None) -> float | None:
        """See :meth:`Slots.reserve`."""
        return self._connections.write(lambda c: _reserve(c, slots, patience_seconds))


def _run(connection: sqlite3.Connection, name: str, values: Any) -> sqlite3.Cursor:
    return connection.execute(load_statements("sqlite_slots")[name], values)


def _limit(row: Any) -> Limit:
    name, slots, decay, active, created_ns, free_ns, *counts = row
    held, waiting = counts or (0, 0)
    if decay:
        held += _taken(decay, free_ns, now_ns())
    return Limit(name, slots, decay, bool(active), datetime_of(created_ns), held, waiting)


def _taken(decay: float, free_ns: int, now: int) -> int:
    """The slots of a limit on a rate that are not free."""
    return int(-(-max(free_ns - now, 0) / 1e9 * decay // 1))


def _known(connection: sqlite3.Connection, names: Collection[str]) -> dict[str, Limit]:
    rows = [_run(connection, "limit", (name,)).fetchone() for name in names]
    return {row[0]: _limit(row) for row in rows if row is not None}


def _requests(connection: sqlite3.Connection, name: str) -> list[_Row]:
    return [_Row(*row) for row in _run(connection, "requests", (name,))]


def _ask(connection: sqlite3.Connection, request: Request) -> tuple[int, bool]:
    _run(connection, "count_request", ())
    (number,) = _run(connection, "last_request", ()).fetchone()
    now = now_ns()
    for name, slots in request.slots.items():
        row = (number, name, slots, now + _LEASE_NS, *request.process, request.holder, now)
        _run(connection, "add_request", row)
    return number, bool(_grant(connection, number))


def _grant(connection: sqlite3.Connection, number: int) -> bool | None:
    can_be = _can_be_granted(connection, number, clears=True)
    if can_be:
        _run(connection, "grant", (now_ns(), number))
    return can_be


def _can_be_granted(
    connection: sqlite3.Connection, number: int, clears: bool = False
) -> bool | None:
    """Whether a request can be granted; None: there is no such request.

    Args:
        connection: to the store.
        number: the request.
        clears: remove the requests of processes that are gone.
    """
    wanted = _run(connection, "request", (number,)).fetchall()
    if not wanted:
        return None
    limits = _known(connection, [name for name, *_ in wanted])
    now = now_ns()
    for name, slots, granted in wanted:
        limit = limits.get(name)
        if granted or limit is None or not limit.active:
            continue
        ahead = 0
        for row in _requests(connection, name):
            if row.request != number and row.is_over(now):
                if clears:
                    _run(connection, "drop_request", (row.request,))
            elif row.granted:
                ahead += row.slots
            elif row.request < number:
                return False  # somebody asked before
        if ahead + slots > limit.slots:
            return False
    return True


def _reserve(
    connection: sqlite3.Connection, slots: Mapping[str, int], patience_seconds: float | None
) -> float | None:
    now = now_ns()
    wait_ns, free = 0, []
    for name, wanted in slots.items():
        row = _run(connection, "limit", (name,)).fetchone()
        if row is None or not row[3]:
            continue
        _, capacity, decay, _, _, free_ns = row
        later = max(free_ns, now) + round(wanted / decay * 1e9)
        wait_ns = max(wait_ns, later - now - round(capacity / decay * 1e9))
        free.append((later, name))
    if patience_seconds is not None and wait_ns > patience_seconds * 1e9:
        return None
    for row in free:
        _run(connection, "take_rate", row)
    return wait_ns / 1e9
