"""The store in a SQLite file.

It is in write-ahead-log mode: readers and the writer do not wait for each other. When the machine
itself loses power, the last moments may be missing; the store stays consistent.
"""

from __future__ import annotations

from pathlib import Path

from dataflow.store.database_store import DatabaseStore
from dataflow.store.sqlite_connections import Connections


class SqliteStore(DatabaseStore):
    """The store in the SQLite file at ``path``, which is made if it is not there.

    Raises:
        StoreTooNew: a newer version has written it.
        StoreNotADatabase: the file is something else.
        StoreUnwritable: it, or its folder, cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        super().__init__(Connections(self.path))

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.path)!r})"
