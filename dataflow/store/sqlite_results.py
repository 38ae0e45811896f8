"""Where results are, read from one view of a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from dataflow.model.records import SINGLE_CALLS
from dataflow.store.named_sql import load_statements
from dataflow.store.run_keys import run_key
from dataflow.store.stored_results import ResultPlace, ResultsSummary, read_results

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
                made_by = found.made_by or run_id
                return ResultPlace(found.storage, found.name, found.serializer, at, made_by)
    return None


def cached_results(
    connection: sqlite3.Connection, keys: Sequence[bytes], now_ns: int
) -> dict[bytes, ResultPlace]:
    """What cache keys lead to; those that lead nowhere are not in it."""
    statement = load_statements("sqlite")["cached_results"]
    found = {}
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[at : at + _KEYS_AT_ONCE]
        sql = statement.replace("/*keys*/", ",".join("?" * len(some)))
        for key, number, storage, name, serializer, run_id in connection.execute(
            sql, (*some, now_ns)
        ):
            found[key] = ResultPlace(storage, name, serializer, number, run_id)
    return found
