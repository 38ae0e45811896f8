"""A transaction of a SQLite file: see :class:`dataflow.store.database.Transaction`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from dataflow.store.database import FoundRow, Row, Transaction
from dataflow.store.tables import Table, insert_row


class SqliteTransaction(Transaction):
    """What is asked and changed while a transaction of ``connection`` is open."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def hold(self, keys: Iterable[int]) -> None:
        """Nothing: whoever writes holds the whole file."""

    def among(self, column: str, numbers: Collection[int]) -> tuple[str, Any]:
        """See :meth:`Transaction.among`."""
        return f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(numbers))

    def execute(self, text: str, values: Sequence[Any] = ()) -> Iterable[FoundRow]:
        """See :meth:`Transaction.execute`."""
        return self.connection.execute(text, values)

    def stream(self, text: str, values: Sequence[Any] = ()) -> Iterator[FoundRow]:
        """See :meth:`Transaction.stream`."""
        yield from self.connection.execute(text, values)

    def execute_many(self, text: str, rows: Iterable[Row]) -> None:
        """See :meth:`Transaction.execute_many`."""
        self.connection.executemany(text, rows)

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """See :meth:`Transaction.insert`."""
        self.connection.executemany(insert_row(table), rows)
