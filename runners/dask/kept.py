"""What a batch leaves on its Dask worker: values and, if it is large, the report."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dataflow.errors import ResultMissing
from dataflow.model.batches import Column, Failure
from dataflow.worker.columns import PackedColumn
from dataflow.worker.failures import revive


class Kept:
    """What a batch leaves on its worker; opaque to Dask but for its size.

    Attributes:
        column: the values, if they stay here.
        report: the report as bytes, if it was not sent as an event.
        failed: by position in the column, calls that have no value.
    """

    __slots__ = ("column", "failed", "report")

    def __init__(
        self, column: PackedColumn | None, report: bytes | None, failed: dict[int, Failure]
    ) -> None:
        self.column = column
        self.report = report
        self.failed = failed

    def __sizeof__(self) -> int:
        values = 0 if self.column is None else self.column.nbytes
        return 200 + values + len(self.report or b"")

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self.column, self.report, self.failed)

    def open(self, missing: Collection[int] = ()) -> Column:
        """The values for one reader, who may change what it loads.

        What is not ``missing`` is refused if its call failed: it did not when it ran first.
        """
        assert self.column is not None
        column = PackedColumn(self.column.parts, self.column.count, self.column.exact)
        unexpected = {at: failure for at, failure in self.failed.items() if at not in missing}
        return _HoledColumn(column, unexpected) if unexpected else column


class _HoledColumn:
    """A column with calls that failed when they ran again."""

    def __init__(self, column: PackedColumn, failed: dict[int, Failure]) -> None:
        self.column = column
        self.failed = failed
        self.count = column.count
        self.nbytes = column.nbytes

    def load(self, position: int) -> Any:
        failure = self.failed.get(position)
        if failure is None:
            return self.column.load(position)
        raise ResultMissing(
            "A value was lost with its Dask worker, and could not be made again: "
            f"{failure.type}: {failure.message}"
        ) from revive(failure)

    def load_all(self) -> list[Any]:
        return [self.load(position) for position in range(self.count)]


class LeftColumn:
    """Stands in a report for values that were left on the worker.

    Attributes:
        sizes: bytes of each value, where each can be fetched alone; empty: they are all small.
        missing: positions that have no value, because their calls failed.
    """

    def __init__(self, column: PackedColumn) -> None:
        self.count = column.count
        self.nbytes = column.nbytes
        self.sizes = [part.nbytes for part in column.parts] if column.exact else []
        self.missing: frozenset[int] = frozenset()

    def load(self, position: int) -> Any:
        """Not here."""
        raise ResultMissing("This value is on a Dask worker.")

    def load_all(self) -> list[Any]:
        """Not here."""
        raise ResultMissing("These values are on a Dask worker.")
