"""Transactions: what was done is undone when something after it fails.

@write.on_rollback
def remove(part):
Path(part.get("path")).unlink()

with transaction():
write(path)
check(path)
"""

from __future__ import annotations

from dataflow.execution.transactions.transaction import (
    TaskTransaction,
    Transaction,
    TransactionState,
    get_transaction,
)

__all__ = ["Transaction", "TaskTransaction", "TransactionState", "get_transaction", "transaction"]


def transaction(key: str | None = None, *, overwrite: bool = False) -> Transaction:
    """A transaction, for ``with`` or ``async with``.

    Task runs inside it are committed together when its body ends well; else those that completed
    are rolled back, the last first: their ``on_rollback`` hooks are called with ``hook(part)``, and
    their state is RolledBack. One inside another is committed with the outer one.

    Args:
        key: under which it is remembered in the store that it was committed: a later one with the
            same key says so (``is_committed()``), and what is done in it belongs to nothing.
        overwrite: begin anew also where it was committed before.
    """
    return Transaction(key, overwrite)
