"""The time by which processes that share a store judge each other: what lives, what has run out."""

from __future__ import annotations

from dataflow.store.database import Transaction


def store_now_ns(transaction: Transaction) -> int:
    """Nanoseconds since 1970 by the clock of the database: those of machines may differ."""
    ((now,),) = transaction.rows("now_ns")
    return int(now)
