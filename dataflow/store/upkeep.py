"""Looking after a store: what is in it, and removing what is old.

Old runs go in short transactions, each run whole, so that nobody who writes waits long.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dataflow.clock import datetime_of, ns_of
from dataflow.store.cache_keys import sweep_cache_keys
from dataflow.store.database import Database, FoundRow, Transaction
from dataflow.store.dropped_results import drop_results
from dataflow.store.tables import TABLES, delete_rows

_WRITE_SECONDS = 0.05
"""About how long others may have to wait."""
_FIRST_AT_ONCE, _MOST_AT_ONCE = 10, 200


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What is in a store.

    Attributes:
        kind: the database and its version.
        place: where it is, without a password.
        schema: the version of its schema.
        size_bytes: what it takes.
        free_bytes: what of that ``vacuum`` would give back, if that is known.
        runs: how many there are by the type of their state.
        batches: how many batches were recorded.
        calls: how many calls are in these.
        logs: how many log lines there are.
        first: when the oldest run was made.
        last: when the newest run was made.
    """

    kind: str
    place: str
    schema: int
    size_bytes: int
    free_bytes: int | None
    runs: dict[str, int]
    batches: int
    calls: int
    logs: int
    first: datetime | None
    last: datetime | None


def store_info(database: Database) -> StoreInfo:
    """What is in a store."""
    facts = database.facts()
    runs, moments, calls, logs = database.read(_count)
    first, last = (None if ns is None else datetime_of(ns) for ns in moments)
    return StoreInfo(
        kind=facts.kind,
        place=database.shown,
        schema=facts.schema,
        size_bytes=facts.size_bytes,
        free_bytes=facts.free_bytes,
        runs=runs,
        batches=calls[0],
        calls=int(calls[1]),
        logs=logs[0],
        first=first,
        last=last,
    )


def _count(view: Transaction) -> tuple[dict[str, int], FoundRow, FoundRow, FoundRow]:
    runs: dict[str, int] = dict(view.rows("count_run_types"))
    (moments,) = view.rows("first_and_last_run")
    (calls,) = view.rows("count_calls")
    (logs,) = view.rows("count_logs")
    return runs, moments, calls, logs


def find_old_runs(database: Database, before: datetime) -> list[tuple[int, str]]:
    """Key and id of the runs that :func:`prune` would remove."""
    moment = ns_of(before)
    return [(key, run_id) for key, run_id in database.read(lambda view: _old(view, moment))]


def prune(database: Database, before: datetime) -> int:
    """Remove runs that ended before a moment, with all that was recorded of them.

    Runs that have not ended stay, and so do subflows of runs that stay. Returns how many went.
    """
    moment = ns_of(before)
    keys = [key for key, _ in find_old_runs(database, before)]
    removed, start, size = 0, 0, _FIRST_AT_ONCE
    may_have_keys = False
    while some := keys[start : start + size]:
        begun = time.monotonic()
        count, had_results = database.write(partial(_remove, some, moment))
        removed += count
        may_have_keys = may_have_keys or had_results
        seconds = max(time.monotonic() - begun, 0.001)
        start += size
        size = max(1, min(_MOST_AT_ONCE, round(size * _WRITE_SECONDS / seconds)))
    if may_have_keys:
        sweep_cache_keys(database)
    return removed


def _old(view: Transaction, moment: int) -> list[tuple[int, str]]:
    return [(key, run_id) for key, run_id in view.rows("old_runs", (moment, moment))]


def _remove(keys: list[int], moment: int, transaction: Transaction) -> tuple[int, bool]:
    """Remove those of some runs that are still old: how many, and whether any had results."""
    transaction.hold(keys)
    condition, value = transaction.among("key", keys)
    ended = transaction.rows("runs_ended", (value,), f"AND {condition}")
    still_old = [key for key, ended_ns in ended if ended_ns < moment]
    drop_results(transaction, still_old)
    condition, value = transaction.among("run", still_old)
    had_results = bool(transaction.rows("any_results", (value,), f"WHERE {condition}"))
    remove_runs(transaction, still_old)
    return len(still_old), had_results


def remove_runs(transaction: Transaction, keys: Collection[int]) -> None:
    """Remove all rows of some runs; cache keys that are left of them lead nowhere."""
    if not keys:
        return
    for table in reversed(TABLES.values()):
        if table.run is not None:
            condition, value = transaction.among(table.run, keys)
            transaction.execute(delete_rows(table, condition), (value,))
