"""Values that are on Dask's workers, as the flow's process knows them: by name."""

from __future__ import annotations

from typing import Any, Protocol

from dataflow.model.batches import Column
from dataflow.worker.columns import load_range, pack
from dataflow.worker.loading import while_loading
from runners.dask.kept import LeftColumn
from runners.dask.messages import CodeReference

_WHOLE_BYTES = 64_000
_BLOCK_BYTES = 256_000
_KEPT_BYTES = 16_000_000


class Fetcher(Protocol):
    """Brings columns, or some of their values, to the flow's process."""

    def fetch(self, column: RemoteColumn) -> Column:
        """Bring a column to this process.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """

    def fetch_part(self, column: RemoteColumn, start: int, stop: int) -> Column:
        """Bring some values of a column to this process.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """


class RemoteColumn:
    """A column under a Dask key; the key is released when the last reference to this goes.

    Values cross to the flow's process only when somebody asks for them: a small column as a whole,
    of others what was asked for and small neighbours. What has crossed is kept, if it is not large.

    Args:
        fetcher: brings it from the cluster that has it.
        future: the Dask future of the batch that made it.
        left: how many values, and how large.
        code: the user's modules that they need.
    """

    __slots__ = ("__weakref__", "_blocks", "_kept_bytes", "code", "fetcher", "future", "left")

    def __init__(
        self, fetcher: Fetcher, future: Any, left: LeftColumn, code: CodeReference | None = None
    ) -> None:
        self.fetcher = fetcher
        self.future = future
        self.left = left
        self.code = code
        self._blocks: list[tuple[int, int, Column]] = []
        self._kept_bytes = 0

    @property
    def count(self) -> int:
        """How many values."""
        return self.left.count

    @property
    def nbytes(self) -> int:
        """How many bytes they take on the worker."""
        return self.left.nbytes

    def load(self, position: int) -> Any:
        """The value at ``position``.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """
        start, _, column = self._block(position, self._stop_after(position))
        return column.load(position - start)

    def load_range(self, start: int, stop: int) -> list[Any]:
        """The values from ``start`` to ``stop``.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """
        first, _, column = self._block(start, stop)
        return load_range(column, start - first, stop - first)

    def load_all(self) -> list[Any]:
        """All values.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """
        return self.load_range(0, self.count)

    def _stop_after(self, position: int) -> int:
        """How far a block from ``position`` on goes."""
        sizes, count = self.left.sizes, self.count
        if not sizes:
            return min(count, position + max(_BLOCK_BYTES * count // max(self.nbytes, 1), 1))
        total, stop = sizes[position], position + 1
        while stop < count and total + sizes[stop] <= _BLOCK_BYTES:
            total += sizes[stop]
            stop += 1
        return stop

    def _block(self, start: int, stop: int) -> tuple[int, int, Column]:
        for block in reversed(self._blocks):
            if block[0] <= start and stop <= block[1]:
                return block
        if self.nbytes <= _WHOLE_BYTES and not self.left.sizes:
            start, stop = 0, self.count
        block = (start, stop, self._fetch(start, stop))
        self._keep(block)
        return block

    def _fetch(self, start: int, stop: int) -> Column:
        with while_loading():
            if stop - start == self.count:
                found = self.fetcher.fetch(self)
            else:
                found = self.fetcher.fetch_part(self, start, stop)
        return found

    def _keep(self, block: tuple[int, int, Column]) -> None:
        nbytes = block[2].nbytes
        if nbytes > _KEPT_BYTES:
            return
        self._blocks.append(block)
        self._kept_bytes += nbytes
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= self._blocks.pop(0)[2].nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return pack(self.load_all(), exact=bool(self.left.sizes)).__reduce__()
