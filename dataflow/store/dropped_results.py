"""What removed runs may have left in result storages, until nobody can name it any more.

A run that goes on may have looked up a result just before the run that made it was removed, and
record only later that it took it. So results stay until all runs that had begun by then, or were
about to, have ended; those whose process vanished are waited for no longer than a day.
"""

from __future__ import annotations

from collections.abc import Collection

from dataflow.store.database import Transaction
from dataflow.store.run_keys import run_key
from dataflow.store.store_clock import store_now_ns

_MINUTE_NS = 60 * 10**9
"""How long a run may take from its beginning until it is in the store; clocks may differ, too."""
_DAY_NS = 24 * 60 * _MINUTE_NS


def drop_results(transaction: Transaction, keys: Collection[int]) -> None:
    """Note where runs that are about to be removed may leave results."""
    now = store_now_ns(transaction)
    for name, column in (("drop_results", "results.run"), ("drop_unrecorded_results", "key")):
        condition, value = transaction.among(column, keys)
        transaction.execute(transaction.text(name, f"AND {condition}"), (now, value))


def find_dropped(view: Transaction) -> list[tuple[str, str]]:
    """Storage and id of removed runs whose results nobody can name any more."""
    now = store_now_ns(view)
    moments = (now - _MINUTE_NS, now - _DAY_NS, _MINUTE_NS)
    return [(storage, run_id) for storage, run_id in view.rows("dropped_results", moments)]


def named_results(view: Transaction, storage: str, run_id: str) -> set[str] | None:
    """The objects of a removed run that other runs have taken; None: the run is there again."""
    if view.row("run_is_there", (run_key(run_id),)) is not None:
        return None
    return {name for (name,) in view.rows("results_by_maker", (run_id, storage))}
