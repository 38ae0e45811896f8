"""Runs leave a store as a stream, and enter another one, on whatever database.

A stream is gzip over msgpack: what it is, then for each run how many rows it has and the rows,
table by table, and at last how many runs there were. Little of it is in memory at a time. A run
enters in one transaction, and only where the store has less of it: importing twice changes nothing,
and a run that went on is replaced by what is known later.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import msgpack

from dataflow.store.database import Database, FoundRow, Transaction
from dataflow.store.imported_runs import gather_runs
from dataflow.store.row_counts import count_rows_of
from dataflow.store.tables import TABLES, Table, exported_tables, insert_new_row, select_rows
from dataflow.store.transfer_frames import FORMAT, SCHEMA, Frames, Rows, damaged

_CHUNK_BYTES = 1 << 20
_SHORT_ROWS = 20
"""So few rows of a run are fetched at once; more are streamed."""

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

        send({"what": FORMAT, "schema": SCHEMA, "columns": columns})
        runs = 0
        for key, run_id in database.read(lambda view: view.rows("run_keys")):
            runs += database.read(partial(_send_run, key, run_id, send), again=False)
        for table in exported_tables():
            if table.run is None:
                database.read(partial(_send_rows, table, (), send), again=False)
        send(["end", runs])
    return runs


def _send_run(key: int, run_id: str, send: Send, view: Transaction) -> bool:
    counts = count_rows_of(view, [key]).get(key, {})
    if "runs" not in counts:  # it was removed meanwhile
        return False
    send(["run", run_id, counts])
    for table in exported_tables():
        if count := counts.get(table.name):
            _send_rows(table, (key,), send, view, is_short=count <= _SHORT_ROWS)
    return True


def _send_rows(
    table: Table, values: tuple[int, ...], send: Send, view: Transaction, *, is_short: bool = False
) -> None:
    ask = view.execute if is_short else view.stream
    for rows in _chunks(ask(select_rows(table), values)):
        send(["rows", table.name, rows])


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
        frames = Frames(packed, keep_nul=database.takes_nul)
        taken, runs = 0, 0
        for group in gather_runs(frames):
            with group:
                taken += database.write(group.put)
                runs += len(group.runs)
        while (frame := frames.take())[0] != "end":
            table = TABLES[frame[1]]
            database.write(partial(_import_rows, table, frames.fit(table, frame[2])))
        if frame[1] != runs:
            raise damaged(f"it should have {frame[1]} runs, and has {runs}")
    return Imported(taken, runs - taken)


def _import_rows(table: Table, rows: Rows, transaction: Transaction) -> None:
    transaction.execute_many(insert_new_row(table), rows)
