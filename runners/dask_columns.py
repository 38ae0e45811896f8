"""Values that are on Dask's workers, as the flow's process knows them: by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataflow.errors import ResultMissing
from dataflow.worker.columns import PackedColumn
from runners.dask_worker import LeftColumn

if TYPE_CHECKING:
    from runners.dask_session import DaskSession

_KEEP_BYTES = 16_000_000


class RemoteColumn:
    """A column under a Dask key; the key is released when the last reference to this goes.

    It crosses to the flow's process only when somebody asks for a value: small columns as a whole,
    and once; of a large one the value that was asked for.

    Args:
        session: the connection to the cluster that has it.
        future: the Dask future of the batch that made it.
        left: how many values, and how large.
    """

    __slots__ = ("__weakref__", "_fetched", "_left", "future", "session")

    def __init__(self, session: DaskSession, future: Any, left: LeftColumn) -> None:
        self.session = session
        self.future = future
        self._left = left
        self._fetched: Any = None

    @property
    def count(self) -> int:
        """How many values."""
        return self._left.count

    @property
    def nbytes(self) -> int:
        """How many bytes they take on the worker."""
        return self._left.nbytes

    @property
    def is_large(self) -> bool:
        """Whether a copy of it in this process should not be kept."""
        return self.nbytes > _KEEP_BYTES

    def load(self, position: int) -> Any:
        """The value at ``position``.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """
        if self.is_large and self.count > 1 and self._left.exact:
            return self.session.fetch_part(self, position).load(0)
        return self._fetch().load(position)

    def load_all(self) -> list[Any]:
        """All values.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """
        values: list[Any] = self._fetch().load_all()
        return values

    def _fetch(self) -> Any:
        column = self._fetched
        if column is None:
            column = self.session.fetch(self)
            if not self.is_large:
                self._fetched = column
        return column

    def __reduce__(self) -> tuple[Any, ...]:
        column = self._fetch()
        if not isinstance(column, PackedColumn):
            raise ResultMissing("These values were lost with their Dask worker.")
        return column.__reduce__()
