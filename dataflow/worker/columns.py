"""Columns of values: what the calls of a batch returned, kept together.

A column is made once, by the worker, and read many times, by other batches and by futures: as the
objects themselves (:class:`ObjectColumn`), as pickles with large buffers beside them, uncopied
(:class:`PackedColumn`), as the same in a memory-mapped file (``file_columns``), or as a runner's
own kind, whose values live where the runner says. It is one pickle of all its values, or, when
``exact``, one pickle for each.
"""

from __future__ import annotations

import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from dataflow.model.batches import Column
from dataflow.worker import pickling
from dataflow.worker.loading import load_pickle

_LARGE_BYTES = 4_000_000
_APART_BYTES = 1_000  # a value


class ObjectColumn:
    """Values that are simply here."""

    __slots__ = ("values",)

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    @property
    def count(self) -> int:
        """How many values."""
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Not known for objects: 0."""
        return 0

    def load(self, position: int) -> Any:
        """The value at ``position``."""
        return self.values[position]

    def load_all(self) -> list[Any]:
        """All values."""
        return self.values


class Part:
    """One pickle and the buffers that it refers to."""

    __slots__ = ("buffers", "data")

    def __init__(self, data: Any, buffers: Sequence[Any] = ()) -> None:
        self.data = data
        self.buffers = buffers

    @property
    def nbytes(self) -> int:
        """Bytes of the pickle and its buffers."""
        return sum(memoryview(piece).nbytes for piece in self.pieces())

    def pieces(self) -> Sequence[Any]:
        """The pickle, and the buffers."""
        return (self.data, *self.buffers)

    def load(self) -> Any:
        """The object; arrays in it are copies that may be written to."""
        return load_pickle(self.data, map(copied, self.buffers))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        wrap = pickle.PickleBuffer if protocol >= 5 else bytes  # Dask's scheduler asks for 4
        return Part, (self.data, [wrap(buffer) for buffer in self.buffers])


def copied(buffer: Any) -> Any:
    """A copy of a buffer that can be written to; of a large one numpy makes it in large pages."""
    numpy = sys.modules.get("numpy")
    if numpy is None or memoryview(buffer).nbytes < _LARGE_BYTES:
        return bytearray(buffer)
    return numpy.frombuffer(buffer, numpy.uint8).copy()


class PickledColumn(ABC):
    """Pickled values; what has been loaded from a joint pickle is kept for the next reader.

    Attributes:
        exact: whether there is a pickle for each value, or one for all of them.
        shared: whether all calls in a process may get the same objects (what is ``unmapped``).
    """

    __slots__ = ("__weakref__", "_count", "_loaded", "exact", "shared")

    def __init__(self, count: int, exact: bool, shared: bool) -> None:
        self.exact = exact
        self.shared = shared
        self._count = count
        self._loaded: list[Any] | None = None

    @property
    def count(self) -> int:
        """How many values."""
        return self._count

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """How large they are."""

    def load(self, position: int) -> Any:
        """The value at ``position``: a new object when exact."""
        if self.exact:
            return self._load_pickles((position,))[0]
        return self.load_all()[position]

    def load_all(self) -> list[Any]:
        """All values."""
        if self.exact:
            return self._load_pickles(range(self._count))
        if self._loaded is None:
            self._loaded = self.load_anew()
        return self._loaded

    def load_anew(self) -> list[Any]:
        """All values of a joint pickle, as objects that nobody else has."""
        values: list[Any] = self._load_pickles((0,))[0]
        return values

    @abstractmethod
    def _load_pickles(self, numbers: Iterable[int]) -> list[Any]:
        """The objects of some of the pickles."""


class PackedColumn(PickledColumn):
    """Pickled values in this process, the large buffers beside them.

    Attributes:
        parts: one for each value if ``exact``, else one for all of them.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: list[Part], count: int, exact: bool, shared: bool = False) -> None:
        super().__init__(count, exact, shared)
        self.parts = parts

    @property
    def nbytes(self) -> int:
        """Bytes of all the pickles and buffers."""
        return sum(part.nbytes for part in self.parts)

    def __sizeof__(self) -> int:
        return 64 + self.nbytes

    def _load_pickles(self, numbers: Iterable[int]) -> list[Any]:
        return [self.parts[number].load() for number in numbers]

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedColumn, (self.parts, self._count, self.exact, self.shared)


def load_range(column: Column, start: int, stop: int) -> list[Any]:
    """The values from ``start`` to ``stop``, without loading others where the column can do so."""
    load = getattr(column, "load_range", None)
    values: list[Any] = column.load_all()[start:stop] if load is None else load(start, stop)
    return values


def as_objects(values: list[Any], exact: bool) -> ObjectColumn:
    """Values that stay in this process: the objects that they are, the same for everybody."""
    return ObjectColumn(values)


def pack(values: list[Any], exact: bool) -> PackedColumn:
    """Pickle values into a column.

    Raises:
        Exception: a value cannot be pickled.
    """
    if not exact:
        return PackedColumn([pack_part(values)], len(values), exact=False)
    return PackedColumn([pack_part(value) for value in values], len(values), exact=True)


def set_apart(column: PackedColumn, values: list[Any]) -> PackedColumn:
    """A column of the same values in which each can be loaded on its own, if they are not small.

    Small ones take less time, and room, together, even for somebody who wants one of them.
    """
    if column.exact or len(values) == 1 or column.nbytes <= _APART_BYTES * len(values):
        return column
    return pack(values, exact=True)


def pack_part(value: Any) -> Part:
    """Pickle one value, its large buffers beside it, uncopied."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickling.dumps(value, buffer_callback=buffers.append)
    return Part(data, [_flat(buffer) for buffer in buffers])


def _flat(buffer: pickle.PickleBuffer) -> memoryview:
    return buffer.raw()
