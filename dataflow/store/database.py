"""What a database must be able to do to hold a store: the seam under :mod:`database_store`.

All that knows what a run is speaks to these two, and is written once. What each database has of its
own stands behind them: connections, locks, bulk inserts, errors in words. Statements go by the
names that they have in ``queries/``; a value is a ``?`` in every dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from dataflow.store.named_sql import complete, load_statements
from dataflow.store.tables import TABLES, Table

T = TypeVar("T")
Row = Sequence[Any]
FoundRow = tuple[Any, ...]


class Transaction(ABC):
    """What is asked and changed in one transaction."""

    dialect: ClassVar[str]
    everything: ClassVar[int] = 1 << 62
    """The limit of a listing that has none."""

    def rows(self, name: str, values: Sequence[Any] = (), conditions: str = "") -> list[FoundRow]:
        """All rows that a statement finds; ``conditions`` take the place that it has for them."""
        return list(self.execute(self.text(name, conditions), values))

    def row(self, name: str, values: Sequence[Any] = ()) -> FoundRow | None:
        """The first row that a statement finds, if any."""
        return next(iter(self.execute(self.text(name), values)), None)

    def each(self, name: str, values: Sequence[Any] = ()) -> Iterator[FoundRow]:
        """The rows one by one; nothing else may be asked before the last of them."""
        return self.stream(self.text(name), values)

    def change(self, name: str, rows: Iterable[Row]) -> None:
        """Carry out a statement for each of some rows of values."""
        self.execute_many(self.text(name), rows)

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Put many rows into a table, with values for each of its columns, in that order."""
        self.insert(TABLES[table], rows)

    def text(self, name: str, conditions: str = "") -> str:
        """A statement of this dialect."""
        return complete(load_statements(self.dialect), name, conditions)

    @abstractmethod
    def hold(self, keys: Iterable[int]) -> None:
        """Be the only one that writes to these runs until the transaction ends.

        Other keys than those of runs may stand for whatever is read and then changed. All that a
        transaction needs is held in one call, so that nobody waits in a circle.
        """

    @abstractmethod
    def among(self, column: str, numbers: Collection[int]) -> tuple[str, Any]:
        """The condition that a column has one of many numbers, and the value that it takes."""

    @abstractmethod
    def execute(self, text: str, values: Sequence[Any] = ()) -> Iterable[FoundRow]:
        """Carry out one statement."""

    @abstractmethod
    def stream(self, text: str, values: Sequence[Any] = ()) -> Iterator[FoundRow]:
        """As :meth:`execute`, with few of the rows in memory at a time."""

    @abstractmethod
    def execute_many(self, text: str, rows: Iterable[Row]) -> None:
        """Carry out one statement for each row of values."""

    @abstractmethod
    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """The fastest way to put many rows into a table."""


Action = Callable[[Transaction], T]


class DatabaseFacts(NamedTuple):
    """What a database says of itself.

    Attributes:
        kind: its name and version.
        schema: the version of the schema.
        size_bytes: what it takes on the disk.
        free_bytes: what of that is unused, if that is known: ``vacuum`` gives it back.
    """

    kind: str
    schema: int
    size_bytes: int
    free_bytes: int | None


class Database(Protocol):
    """The connections of this process to one database.

    Attributes:
        takes_nul: whether text may have the character NUL.
        shown: where it is, without a password.
    """

    takes_nul: bool
    shown: str

    def write(self, action: Action[T]) -> T:
        """Carry out ``action`` in one transaction: all of it is there afterwards, or nothing.

        It is carried out anew when a connection breaks; what it did before is then undone.

        Raises:
            UnicodeError: text is not as this database can take it.
            StoreUnwritable: there is no room, or no right to write.
            StoreUnreachable: the database has been away for too long.
        """

    def read(self, action: Action[T], *, again: bool = True) -> T:
        """Carry out ``action`` on one consistent view; it neither waits for writers nor stops any.

        Args:
            action: what to ask.
            again: whether it may be carried out anew, on another connection.

        Raises:
            StoreUnreachable: the database is away.
        """

    def version(self) -> int:
        """A number that is another one after anybody else has written; it waits for no writer."""

    def facts(self) -> DatabaseFacts:
        """What it says of itself."""

    def vacuum(self) -> None:
        """Give unused room back, and have the planner of statements learn."""

    def backup(self, path: Path) -> None:
        """Copy all that is there at one moment to a new file; nobody waits for it.

        Raises:
            StoreError: the database is no file.
        """

    def close(self) -> None:
        """Close what is open; does nothing if that has been done."""
