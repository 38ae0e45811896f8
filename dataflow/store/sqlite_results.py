"""Where results are, read from one view of a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from dataflow.model.records import SINGLE_CALLS
from dataflow.store.named_sql import load_statements
from dataflow.store.run_keys import run_key
from dataflow.store.stored_results import (
    ResultObject,
    ResultPlace,
    ResultsSummary,
    read_results,
)

_KEYS_AT_ONCE = 500


def results(connection: sqlite3.Connection, run_id: str) -> list[ResultsSummary]:
    """Where the results of a run are, in the order of writing."""
    rows = connection.execute(load_statements("sqlite")["results"], (run_key(run_id),))
    return list(map(read_results, rows))


def result_at(
    connection: sqlite3.Connection, run_id: str, node: int, index: int
) -> ResultPlace | None:
    """Where the result of one element is; None: it was not kept."""
    statement = load_statements("sqlite")["results_around"]
    places = [(node, index)]
    if index == 0 and node >= 0:
        places.append((SINGLE_CALLS, node))
    for number, element in places:
        for row in connection.execute(statement, (run_key(run_id), number, element, element)):
            found = read_results(row)
            if element in found.elements:
                at = found.numbers[found.elements.index(element)]
                return found.object_of(run_id), at
    return None


def cached_results(
    connection: sqlite3.Connection, keys: Sequence[bytes], now_ns: int
) -> dict[bytes, ResultPlace]:
    """What cache keys lead to; those that lead nowhere are not in it."""
    sql = load_statements("sqlite")
    places: dict[bytes, tuple[int, int]] = {}
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[at : at + _KEYS_AT_ONCE]
        statement = sql["cached_results"].replace("/*keys*/", ",".join("?" * len(some)))
        for key, result, number in connection.execute(statement, (*some, now_ns)):
            places[key] = result, number
    objects: dict[int, ResultObject] = {}
    for result in {result for result, _ in places.values()}:
        row = connection.execute(sql["result_object"], (result,)).fetchone()
        if row is not None:
            objects[result] = ResultObject(*row)
    return {
        key: (objects[result], number)
        for key, (result, number) in places.items()
        if result in objects
    }


def take_leases(
    connection: sqlite3.Connection,
    keys: Sequence[bytes],
    holder: str,
    now_ns: int,
    expires_ns: int,
) -> set[bytes]:
    """The keys that this run may compute now; a write transaction is open."""
    statement = load_statements("sqlite")["take_lease"]
    rows = ((key, (key, holder, expires_ns, now_ns)) for key in keys)
    return {key for key, row in rows if connection.execute(statement, row).rowcount}


def renew_leases(
    connection: sqlite3.Connection, holder: str, expires_ns: int, done: Sequence[bytes]
) -> None:
    """Keep the leases of a run, but for those of keys that it is done with."""
    sql = load_statements("sqlite")
    connection.executemany(sql["drop_lease"], [(key,) for key in done])
    connection.execute(sql["renew_leases"], (expires_ns, holder))


def drop_leases(connection: sqlite3.Connection, holder: str) -> None:
    """Let go of all leases of a run."""
    connection.execute(load_statements("sqlite")["drop_leases"], (holder,))
