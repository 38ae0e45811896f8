"""Exported runs enter a store, many small ones in one transaction, a large one by itself.

What costs most is asking a database that is far away, so it is asked for many runs at once: what is
there of them, and for numbers; and the rows of all go table by table. A large run is never in
memory whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

import msgpack

from dataflow.errors import StoreError
from dataflow.store.cache_keys import drop_cache_keys
from dataflow.store.database import Transaction
from dataflow.store.row_counts import count_rows_of
from dataflow.store.run_keys import run_key
from dataflow.store.tables import TABLES
from dataflow.store.transfer_frames import Frames, Rows
from dataflow.store.upkeep import remove_runs

_MOST_RUNS = 200
_MOST_BYTES = 4 << 20
_SPOOL_BYTES = 64 << 20


def gather_runs(frames: Frames) -> Iterator[ImportedRuns]:
    """The runs of a file, in groups; whole runs before what is damaged are among them.

    Raises:
        StoreError: the file is damaged, or its end is missing.
    """
    group = ImportedRuns()
    try:
        while group.take_from(frames):
            if group.is_full:
                yield group
                group = ImportedRuns()
    except StoreError:
        yield group
        raise
    yield group


class ImportedRuns:
    """Some runs of a file; used as a context, at the end of which they are forgotten.

    Attributes:
        runs: key and number of rows of each.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self._frames = SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - closed by __exit__
        self._nbytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._frames.close()

    @property
    def is_full(self) -> bool:
        """Whether the next run is better in another transaction."""
        return len(self.runs) >= _MOST_RUNS or self._nbytes >= _MOST_BYTES

    def take_from(self, frames: Frames) -> bool:
        """Take the next run of a file, if there is one."""
        head = frames.take_run()
        if head is None:
            return False
        run_id, counts = head
        for name, rows in frames.rows_of_run():
            packed = msgpack.packb((len(self.runs), name, rows))
            self._frames.write(packed)
            self._nbytes += len(packed)
        self.runs.append((run_key(run_id), sum(counts.values())))
        return True

    def put(self, transaction: Transaction) -> int:
        """Put those in of which the store has less; returns how many.

        It may be carried out again, when a connection breaks.
        """
        if not self.runs:
            return 0
        keys = [key for key, _ in self.runs]
        transaction.hold(keys)
        found = count_rows_of(transaction, keys)
        there = {key: sum(counts.values()) for key, counts in found.items()}
        taken = {at for at, (key, rows) in enumerate(self.runs) if there.get(key, 0) < rows}
        replaced = [keys[at] for at in taken if keys[at] in there]
        remove_runs(transaction, replaced)
        if any("results" in found[key] for key in replaced):  # their rows get other numbers
            drop_cache_keys(transaction, replaced)
        rows_to_put = _RowsToPut(transaction)
        for at, name, rows in self._read():
            if at in taken:
                rows_to_put.take(name, rows)
        rows_to_put.put()
        return len(taken)

    def _read(self) -> Iterator[tuple[int, str, Rows]]:
        self._frames.seek(0)
        yield from msgpack.Unpacker(self._frames, max_buffer_size=0)


class _RowsToPut:
    """Rows that gather until they are worth a way to the database."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._rows: dict[str, Rows] = {}
        self._nbytes = 0
        self._batches: dict[int, int] = {}

    def take(self, name: str, rows: Rows) -> None:
        self._rows.setdefault(name, []).extend(rows)
        self._nbytes += sum(_size(row) for row in rows)
        if self._nbytes >= _MOST_BYTES:
            self.put()

    def put(self) -> None:
        """Put in what has gathered, table by table: batches come before what names them."""
        for table in TABLES.values():
            rows = self._rows.get(table.name)
            if rows:
                self._renumber(table.name, rows)
                self._transaction.add(table.name, rows)
        self._rows = {}
        self._nbytes = 0

    def _renumber(self, name: str, rows: Rows) -> None:
        """Batches, and rows of results, have other numbers here, in the same order."""
        table = TABLES[name]
        if name == "batches":
            place = table.columns.index("id")
            self._batches.update(
                zip((row[place] for row in rows), self._numbers("new_batches", rows), strict=True)
            )
        if table.batch is not None:
            place = table.columns.index(table.batch)
            for row in rows:
                row[place] = self._batches[row[place]]
        if table.result is not None:
            place = table.columns.index(table.result)
            for row, number in zip(rows, self._numbers("new_results", rows), strict=True):
                row[place] = number

    def _numbers(self, name: str, rows: Rows) -> list[int]:
        return [number for (number,) in self._transaction.rows(name, (len(rows),))]


def _size(row: list[Any]) -> int:
    return 100 + sum(len(value) for value in row if isinstance(value, (bytes, str)))
