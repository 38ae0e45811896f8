"""Values of a cluster, and large reports, come to the flow's process when they are asked for.

What was lost meanwhile, Dask is asked to make again.
"""

from __future__ import annotations

import time
import weakref
from typing import Any

from dataflow.errors import DataflowError, ResultMissing
from dataflow.full_disk import is_full
from dataflow.model.batches import BatchReport, Column
from dataflow.worker.columns import PackedColumn
from runners.dask import worker as dask_worker
from runners.dask.client import outside, submit_own
from runners.dask.columns import RemoteColumn
from runners.dask.constants import Constants
from runners.dask.flights import Flight
from runners.dask.kept import Kept, LeftColumn
from runners.messages import load_report

RETRIES = 3
"""How often what Dask gave up is tried again, beside what Dask does by itself."""
_ROOM_SECONDS = 1.0


class ValueFetcher:
    """Fetches from one cluster.

    Args:
        client: connected to it.
        constants: its constants, which values are made from.

    Attributes:
        bytes_fetched: bytes of values that came to this process.
    """

    def __init__(self, client: Any, constants: Constants) -> None:
        self.bytes_fetched = 0
        self._open_client = client
        self._constants = constants
        self._columns: weakref.WeakSet[RemoteColumn] = weakref.WeakSet()

    @property
    def is_needed(self) -> bool:
        """Whether anybody could still ask for a value."""
        return bool(self._columns)

    def column_of(self, flight: Flight, left: LeftColumn) -> RemoteColumn:
        """What a batch left on the cluster, as this process knows it."""
        column = RemoteColumn(self, flight.future, left, flight.code)
        self._columns.add(column)
        return column

    def fetch(self, column: RemoteColumn) -> Column:
        """Bring a column to this process.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """
        kept: Kept = self._gather(column.future)
        found = kept.open(column.left.missing)
        self.bytes_fetched += found.nbytes
        return found

    def fetch_part(self, column: RemoteColumn, start: int, stop: int) -> PackedColumn:
        """Bring some values of a column to this process.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """
        wanted = (column.future, start, stop, column.left.missing, column.code)
        asked = submit_own(self._client(), dask_worker.part_of, "part", *wanted)
        part: PackedColumn = self._gather(asked)
        self.bytes_fetched += part.nbytes
        return part

    def fetch_report(self, future: Any, alone: bool) -> BatchReport:
        """Get a report that was too large for an event; ``alone`` if no values are left with it.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """
        if alone:
            return load_report(self._gather(future).report)
        asked = submit_own(self._client(), dask_worker.report_of, "report", future)
        return load_report(self._gather(asked))

    def try_again(self, future: Any, error: BaseException) -> bool:
        """Have Dask make lost values again, though a worker died while it did so before.

        Or though a constant was lost with them, which they are made from.
        """
        if future.status != "error":
            return False
        if type(error).__name__ == "ConstantMissing":
            can_be = bool(outside(self._constants.renew, *error.args))
        else:
            can_be = type(error).__name__ == "KilledWorker"
        if can_be:
            outside(self._client().retry, [future])
        return can_be

    def close(self) -> None:
        """The cluster is left: nothing can be asked for any more."""
        self._open_client = None

    def _client(self) -> Any:
        client = self._open_client
        if client is None:
            raise ResultMissing(
                "A value is gone: the Dask cluster that had it was closed.",
                hint="Ask for values before the runner is closed.",
            )
        return client

    def _gather(self, future: Any) -> Any:
        for retries in range(RETRIES + 1):
            try:
                return outside(self._client().gather, future)
            except DataflowError:
                raise
            except BaseException as error:
                if not isinstance(error, Exception) and not is_loss(error):
                    raise
                if retries == RETRIES or not self._can_be_had(future, error):
                    raise ResultMissing(
                        f"A value on the Dask cluster is gone ({type(error).__name__}: {error}).",
                        hint="Values live as long as their cluster: "
                        "ask for them before it is closed.",
                    ) from error
        raise AssertionError

    def _can_be_had(self, future: Any, error: BaseException) -> bool:
        """Whether to ask again for a value that did not come."""
        if is_full(error):
            # its worker has it on disk, and to bring it back has to put others there, which is full
            time.sleep(_ROOM_SECONDS)
            return True
        return self.try_again(future, error)


_LOSSES = {"KilledWorker", "CancelledError", "ConstantMissing", "CommClosedError"}


def is_loss(error: BaseException) -> bool:
    """Whether an error says that something was lost, rather than that it could not be done."""
    return not _LOSSES.isdisjoint(kind.__name__ for kind in type(error).__mro__)
