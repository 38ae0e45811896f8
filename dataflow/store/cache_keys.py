"""Cache keys of runs that are removed: they go in the order of the keys, after their runs.

Keys are hashes, so those of one run lie all over their table: removing them run by run writes a
page for each key. In their own order each page is written once. Until then they lead nowhere, as
their runs and results are gone (see ``result_object`` in ``every_dialect.sql``).
"""

from __future__ import annotations

from functools import partial

from dataflow.store.database import Database, Transaction

_AT_ONCE = 10_000
"""So many keys are looked through in one short transaction."""


def sweep_cache_keys(database: Database) -> None:
    """Remove the keys that lead to runs which are gone."""
    start: bytes | None = b""
    while start is not None:
        stop, any_gone = database.read(partial(_look_ahead, start))
        if any_gone:
            database.write(partial(_sweep, start, stop))
        start = stop


def _look_ahead(start: bytes, view: Transaction) -> tuple[bytes | None, bool]:
    """The last of the next keys (None: the end is nearer), and whether any of them is to go."""
    row = view.row("cache_key_ahead", (start, _AT_ONCE - 1))
    stop = None if row is None else bytes(row[0])
    return stop, bool(view.rows("gone_cache_key", *_between(start, stop)))


def _sweep(start: bytes, stop: bytes | None, transaction: Transaction) -> None:
    values, condition = _between(start, stop)
    transaction.execute(transaction.text("sweep_cache_keys", condition), values)


def _between(start: bytes, stop: bytes | None) -> tuple[tuple[bytes, ...], str]:
    return ((start,), "") if stop is None else ((start, stop), "AND key <= ?")


def drop_cache_keys(transaction: Transaction, runs: list[int]) -> None:
    """Let no key lead to the results of some runs, here and now; it looks through all keys."""
    condition, value = transaction.among("run", runs)
    transaction.execute(transaction.text("drop_cache_keys", f"WHERE {condition}"), (value,))
