"""A transaction of PostgreSQL: see :class:`dataflow.store.database.Transaction`.

Many processes write at once, so what SQLite has of its one write lock is made here by *lanes*:
advisory locks, to each of which some runs belong. Whoever writes to a run holds its lane: states of
a run follow each other, and its log lines become visible in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg

from dataflow.store.database import FoundRow, Row, Transaction
from dataflow.store.tables import Table

_LANES = 32
"""Few enough that a hundred writers who hold all of them fit into the server's table of locks."""
_ROWS_AT_ONCE = 200
_cursor_numbers = count(1)


class PostgresTransaction(Transaction):
    """What is asked and changed while a transaction of ``connection`` is open."""

    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[FoundRow]) -> None:
        self.connection = connection

    def hold(self, keys: Iterable[int]) -> None:
        """See :meth:`Transaction.hold`; sorted, so that nobody waits in a circle."""
        lanes = sorted({key % _LANES for key in keys})
        if lanes:
            self.rows("hold_lanes", (lanes,))

    def among(self, column: str, numbers: Collection[int]) -> tuple[str, Any]:
        """See :meth:`Transaction.among`."""
        return f"{column} = ANY(?::bigint[])", list(numbers)

    def execute(self, text: str, values: Sequence[Any] = ()) -> Iterable[FoundRow]:
        """See :meth:`Transaction.execute`."""
        return self.connection.execute(translate(text), values)

    def stream(self, text: str, values: Sequence[Any] = ()) -> Iterator[FoundRow]:
        """See :meth:`Transaction.stream`; the server keeps what is not fetched yet."""
        with self.connection.cursor(f"dataflow_{next(_cursor_numbers)}") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(translate(text), values)
            yield from cursor

    def execute_many(self, text: str, rows: Iterable[Row]) -> None:
        """See :meth:`Transaction.execute_many`; the answers are waited for together."""
        with self.connection.cursor() as cursor:
            cursor.executemany(translate(text), rows)

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """See :meth:`Transaction.insert`."""
        columns = ", ".join(table.columns)
        text = f"COPY {table.name} ({columns}) FROM STDIN".encode()
        with self.connection.cursor() as cursor, cursor.copy(text) as copy:
            for row in rows:
                copy.write_row(row)


@lru_cache(maxsize=1024)
def translate(text: str) -> bytes:
    """A statement as psycopg takes it."""
    return text.replace("%", "%%").replace("?", "%s").encode()
