"""The frames of an exported store, read one by one; what is wrong with the file is said."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import msgpack

from dataflow.errors import StoreError, StoreTooNew
from dataflow.store.named_sql import latest_version
from dataflow.store.tables import TABLES, Table

FORMAT = "dataflow store export 1"
SCHEMA = latest_version("sqlite")

Rows = list[list[Any]]


class Frames:
    """The frames of a file.

    Args:
        packed: the file.
        keep_nul: whether the database takes text with the character NUL.

    Raises:
        StoreError: it is something else.
        StoreTooNew: it comes from a store of a newer version.
    """

    def __init__(self, packed: gzip.GzipFile, *, keep_nul: bool) -> None:
        self._keep_nul = keep_nul
        self._unpacker = msgpack.Unpacker(packed, max_buffer_size=0)
        self._next: Any = None
        self._columns = _check_header(self.take())

    def take(self) -> Any:
        """The next frame.

        Raises:
            StoreError: the file is damaged, or its end is missing.
        """
        frame, self._next = self._next, None
        if frame is not None:
            return frame
        try:
            return self._unpacker.unpack()
        except (msgpack.OutOfData, EOFError):
            raise damaged("its end is missing") from None
        except (OSError, ValueError, zlib.error, msgpack.UnpackException) as error:
            raise damaged(str(error)) from error

    def take_run(self) -> tuple[str, dict[str, int]] | None:
        """Id and numbers of rows of the next run; None: there is none any more."""
        frame = self.take()
        if frame[0] == "run":
            return frame[1], frame[2]
        self._next = frame
        return None

    def rows_of_run(self) -> Iterator[tuple[str, Rows]]:
        """Table and rows of the frames up to the next run."""
        while (frame := self.take())[0] == "rows" and TABLES[frame[1]].run is not None:
            yield frame[1], self.fit(TABLES[frame[1]], frame[2])
        self._next = frame

    def fit(self, table: Table, rows: Rows) -> Rows:
        """Rows as the table has them now; columns that came later are empty."""
        columns = self._columns[table.name]
        if tuple(columns) != table.columns:
            places = [columns.index(name) if name in columns else None for name in table.columns]
            rows = [[None if place is None else row[place] for place in places] for row in rows]
        return rows if self._keep_nul else [[_without_nul(value) for value in row] for row in rows]


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\\x00") if isinstance(value, str) and "\0" in value else value


def _check_header(header: Any) -> dict[str, list[str]]:
    if not isinstance(header, dict) or header.get("what") != FORMAT:
        raise damaged("it is something else")
    if header["schema"] > SCHEMA:
        raise StoreTooNew(
            f"The file comes from a store of version {header['schema']}; this dataflow knows "
            f"versions up to {SCHEMA}.",
            hint="Upgrade dataflow-runtime.",
            version=header["schema"],
        )
    columns: dict[str, list[str]] = header["columns"]
    return columns


def damaged(why: str) -> StoreError:
    """The file is not what it should be."""
    return StoreError(
        f"The file is no whole export of a store: {why}.",
        hint="`dataflow store export FILE` writes one.",
    )
