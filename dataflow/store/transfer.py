"""Runs leave a store as a stream, and enter another one, on whatever database.

A stream is gzip over msgpack: what it is, then for each run how many rows it has and the rows,
table by table, and at last how many runs there were. Little of it is in memory at a time. A run
enters in one transaction, and only where the store has less of it: importing twice changes nothing,
and a run that went on is replaced by what is known later.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO

import msgpack

from dataflow.errors import StoreError, StoreTooNew
from dataflow.store.database import Database, FoundRow, Transaction
from dataflow.store.named_sql import latest_version
from dataflow.store.run_keys import run_key
from dataflow.store.tables import (
    TABLES,
    Table,
    count_rows,
    exported_tables,
    insert_new_row,
    select_rows,
)
from dataflow.store.upkeep import remove_run

_FORMAT = "dataflow store export 1"
_SCHEMA = latest_version("sqlite")
_CHUNK_BYTES = 1 << 20
_SPOOL_BYTES = 64 << 20

Rows = list[list[Any]]
Send = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many runs came in, and how many were there before, as complete or more."""

    runs: int
    known: int


def export_runs(database: Database, target: BinaryIO) -> int:
    """Write all runs to a file, each as it is at one moment; returns how many there were."""
    columns = {table.name: table.columns for table in exported_tables()}
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0) as packed:

        def send(frame: Any) -> None:
            packed.write(msgpack.packb(frame))

        send({"what": _FORMAT, "schema": _SCHEMA, "columns": columns})
        runs = 0
        for key, run_id in database.read(lambda view: view.rows("run_keys")):
            runs += database.read(partial(_send_run, key, run_id, send), again=False)
        for table in exported_tables():
            if table.run is None:
                database.read(partial(_send_rows, table, (), send), again=False)
        send(["end", runs])
    return runs


def _send_run(key: int, run_id: str, send: Send, view: Transaction) -> bool:
    counts = _count_rows(view, key)
    if not counts["runs"]:  # it was removed meanwhile
        return False
    send(["run", run_id, counts])
    for table in exported_tables():
        if table.run is not None:
            _send_rows(table, (key,), send, view)
    return True


def _send_rows(table: Table, values: tuple[int, ...], send: Send, view: Transaction) -> None:
    for rows in _chunks(view.stream(select_rows(table), values)):
        send(["rows", table.name, rows])


def _count_rows(view: Transaction, key: int) -> dict[str, int]:
    return {
        table.name: next(iter(view.execute(count_rows(table), (key,))))[0]
        for table in exported_tables()
        if table.run is not None
    }


def _chunks(rows: Iterable[FoundRow]) -> Iterator[list[FoundRow]]:
    chunk: list[FoundRow] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += 100 + sum(len(value) for value in row if isinstance(value, (bytes, str)))
        if size > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def import_runs(database: Database, source: BinaryIO) -> Imported:
    """Take in the runs of a file that :func:`export_runs` has written.

    What is imported before something turns out to be wrong stays; importing again goes on there.

    Raises:
        StoreError: it is no such file, or it is damaged, or its end is missing.
        StoreTooNew: it comes from a store of a newer version.
    """
    with gzip.GzipFile(fileobj=source, mode="rb") as packed:
        frames = _Frames(packed, keep_nul=database.takes_nul)
        frames.columns = _check_header(frames.take())
        taken, runs = 0, 0
        while (frame := frames.take())[0] != "end":
            if frame[0] == "run":
                taken += _take_run(database, frames, *frame[1:])
                runs += 1
            else:
                _, name, rows = frame
                new = frames.fit(TABLES[name], rows)
                database.write(partial(_import_rows, TABLES[name], new))
        if frame[1] != runs:
            raise _damaged(f"it should have {frame[1]} runs, and has {runs}")
    return Imported(taken, runs - taken)


def _take_run(database: Database, frames: _Frames, run_id: str, counts: dict[str, int]) -> bool:
    """Take in a run, if less of it is there; whoever writes must not wait for a slow pipe."""
    with SpooledTemporaryFile(_SPOOL_BYTES) as rows:
        for frame in frames.rows_of_run():
            rows.write(msgpack.packb(frame))
        return database.write(partial(_import_run, run_key(run_id), counts, rows))


def _import_run(
    key: int, counts: dict[str, int], frames: IO[bytes], transaction: Transaction
) -> bool:
    transaction.hold([key])
    if sum(_count_rows(transaction, key).values()) >= sum(counts.values()):
        return False
    remove_run(transaction, key)
    numbers: dict[int, int] = {}
    frames.seek(0)
    for name, rows in msgpack.Unpacker(frames, max_buffer_size=0):
        if name == "results":
            _renumber_results(rows, transaction)
        if TABLES[name].batch is not None:
            _renumber(TABLES[name], rows, numbers, transaction)
        transaction.add(name, rows)
    return True


def _renumber(table: Table, rows: Rows, numbers: dict[int, int], transaction: Transaction) -> None:
    """Batches have other numbers here, in the same order."""
    place = table.columns.index(table.batch or "")
    if table.name == "batches":
        fresh = transaction.rows("new_batches", (len(rows),))
        numbers.update((row[place], number) for row, (number,) in zip(rows, fresh, strict=True))
    for row in rows:
        row[place] = numbers[row[place]]


def _renumber_results(rows: Rows, transaction: Transaction) -> None:
    place = TABLES["results"].columns.index(TABLES["results"].result or "")
    fresh = transaction.rows("new_results", (len(rows),))
    for row, (number,) in zip(rows, fresh, strict=True):
        row[place] = number


def _import_rows(table: Table, rows: Rows, transaction: Transaction) -> None:
    transaction.execute_many(insert_new_row(table), rows)


class _Frames:
    """The frames of a file, one by one."""

    def __init__(self, packed: gzip.GzipFile, *, keep_nul: bool) -> None:
        self.columns: dict[str, list[str]] = {}
        self._keep_nul = keep_nul
        self._unpacker = msgpack.Unpacker(packed, max_buffer_size=0)
        self._next: Any = None

    def take(self) -> Any:
        """The next frame."""
        frame, self._next = self._next, None
        if frame is not None:
            return frame
        try:
            return self._unpacker.unpack()
        except (msgpack.OutOfData, EOFError):
            raise _damaged("its end is missing") from None
        except (OSError, ValueError, zlib.error, msgpack.UnpackException) as error:
            raise _damaged(str(error)) from error

    def rows_of_run(self) -> Iterator[tuple[str, Rows]]:
        """Table and rows of the frames up to the next run."""
        while (frame := self.take())[0] == "rows" and TABLES[frame[1]].run is not None:
            yield frame[1], self.fit(TABLES[frame[1]], frame[2])
        self._next = frame

    def fit(self, table: Table, rows: Rows) -> Rows:
        """Rows as the table has them now; columns that came later are empty."""
        columns = self.columns[table.name]
        if tuple(columns) != table.columns:
            places = [columns.index(name) if name in columns else None for name in table.columns]
            rows = [[None if place is None else row[place] for place in places] for row in rows]
        return rows if self._keep_nul else [[_without_nul(value) for value in row] for row in rows]


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\\x00") if isinstance(value, str) and "\0" in value else value


def _check_header(header: Any) -> dict[str, list[str]]:
    if not isinstance(header, dict) or header.get("what") != _FORMAT:
        raise _damaged("it is something else")
    if header["schema"] > _SCHEMA:
        raise StoreTooNew(
            f"The file comes from a store of version {header['schema']}; this dataflow knows "
            f"versions up to {_SCHEMA}.",
            hint="Upgrade dataflow-runtime.",
            version=header["schema"],
        )
    columns: dict[str, list[str]] = header["columns"]
    return columns


def _damaged(why: str) -> StoreError:
    return StoreError(
        f"The file is no whole export of a store: {why}.",
        hint="`dataflow store export FILE` writes one.",
    )
