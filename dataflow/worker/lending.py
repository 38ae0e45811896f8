"""What a call is given is its own: it may change it, and no other call sees that.

A value that several calls of a batch get, or that is kept beside the one call that gets it, must
not show that they share a process. Values that cannot change cost nothing; of the others a copy is
made when a second reader turns up, not before. (What a task holds on to and returns again and
again, or puts into all that it returns, is one object in its process, as it is without batches.)
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import pickle
import uuid
from collections.abc import Sequence
from typing import Any

from dataflow.model.batches import Column
from dataflow.worker.columns import ObjectColumn, PickledColumn, copied, pack, pack_part
from dataflow.worker.loading import load_pickle, while_loading
from dataflow.worker.pickling import ATOMS

_FIXED = ATOMS | {
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    datetime.timezone,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PosixPath,
    range,
    type,
    uuid.UUID,
}
_FIXED_GROUPS = (tuple, frozenset)


def is_fixed(value: Any) -> bool:
    """Whether a value can neither change nor hold anything that can, as far as that is plain."""
    kind = type(value)
    if kind in _FIXED:
        return True
    return kind in _FIXED_GROUPS and all(map(is_fixed, value))


class Snapshot:
    """A value as it is now, whatever becomes of the object; pickled, it loads as the value.

    Raises:
        Exception: it cannot be pickled.
    """

    __slots__ = ("buffers", "data")

    def __init__(self, value: Any) -> None:
        part = pack_part(value)
        self.data = part.data
        self.buffers = [copied(buffer) for buffer in part.buffers]

    @property
    def nbytes(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)

    def load(self) -> Any:
        """A new object with that value."""
        return load_pickle(self.data, map(copied, self.buffers))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.data, [pickle.PickleBuffer(buffer) for buffer in self.buffers])


def _restore(data: bytes, buffers: Sequence[Any]) -> Any:
    return pickle.loads(data, buffers=buffers)


def opened(value: Any) -> Any:
    """The value itself, where it may be there as a snapshot."""
    return value.load() if type(value) is Snapshot else value


class Lender:
    """A column of one pickle, for one batch: nobody gets an object that somebody else has.

    Each value is lent as it was loaded; for the second reader of any, the pickle is loaded anew,
    and from then on everybody gets a copy out of that.
    """

    def __init__(self, column: PickledColumn) -> None:
        self.count = column.count
        self.nbytes = column.nbytes
        self._column = column
        self._values: list[Any] | None = None
        self._is_fixed = False
        self._lent = bytearray(column.count)
        self._spare: list[Any] | None = None

    def load(self, position: int) -> Any:
        """The value at ``position``, for one reader."""
        if not self._lent[position]:
            value = self._loaded()[position]
            if not is_fixed(value):
                self._lent[position] = True
            return value
        return self._copy(position)

    def load_range(self, start: int, stop: int) -> list[Any]:
        """The values from ``start`` to ``stop``, for one reader."""
        values = self._loaded()
        if self._is_fixed:
            return values if stop - start == self.count else values[start:stop]
        if any(self._lent[start:stop]):
            return [self.load(position) for position in range(start, stop)]
        self._lent[start:stop] = b"\1" * (stop - start)
        return values[start:stop]

    def load_all(self) -> list[Any]:
        """All values, for one reader."""
        return self.load_range(0, self.count)

    def _loaded(self) -> list[Any]:
        if self._values is None:
            values = self._values = self._column.load_anew()  # not what another batch has loaded
            self._is_fixed = _FIXED.issuperset(map(type, values))
        return self._values

    def _copy(self, position: int) -> Any:
        with while_loading():
            if self._spare is None:
                self._spare = self._column.load_anew()
            value = self._spare[position]
            if type(value) is not Snapshot:
                value = self._spare[position] = Snapshot(value)
            return value.load()


def lender_of(column: Column) -> Column:
    """A column as a batch reads it whose calls are to share nothing."""
    if isinstance(column, ObjectColumn) and not all(map(is_fixed, column.values)):
        return Lender(pack(column.values, exact=False))
    if isinstance(column, PickledColumn) and not column.exact and not column.shared:
        return Lender(column)
    return column
