"""How much a store has of some runs: what decides whether it is imported, or exported."""

from __future__ import annotations

from collections.abc import Collection

from dataflow.store.database import Transaction
from dataflow.store.tables import count_rows, exported_tables


def count_rows_of(view: Transaction, keys: Collection[int]) -> dict[int, dict[str, int]]:
    """How many rows each of some runs has, by table: those of which something is there."""
    texts, values = [], []
    for table in exported_tables():
        if table.run is not None:
            condition, value = view.among(table.run, keys)
            texts.append(count_rows(table, condition))
            values.append(value)
    found: dict[int, dict[str, int]] = {}
    for name, key, count in view.execute(" UNION ALL ".join(texts), values):
        found.setdefault(key, {})[name] = count
    return found
