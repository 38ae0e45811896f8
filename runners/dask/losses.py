"""What becomes of batches that Dask gives up: tried again, failed, or reported lost, with why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from dataflow.execution.runner_protocol import Explain, RunnerListener
from dataflow.worker.outcomes import failed_report
from runners.dask.boards import find_position
from runners.dask.connection import Connection, connection_lost
from runners.dask.deaths import WorkerDeaths
from runners.dask.flights import Flight, Flights, key_of
from runners.dask.values import RETRIES, ValueFetcher, is_loss


class Losses:
    """Watches over the batches that a cluster has.

    Args:
        connection: to the cluster.
        flights: the batches that it has.
        fetcher: has lost values made again.
        do_soon: has the thread that receives do something.
        listener: gives who is told.

    Attributes:
        deaths: why workers died.
    """

    def __init__(
        self,
        connection: Connection,
        flights: Flights,
        fetcher: ValueFetcher,
        do_soon: Callable[[Callable[[], None]], None],
        listener: Callable[[], RunnerListener],
    ) -> None:
        self.deaths = WorkerDeaths(connection.client, self._died)
        self._connection = connection
        self._flights = flights
        self._fetcher = fetcher
        self._do_soon = do_soon
        self._listener = listener

    def watch(self, flight: Flight) -> None:
        """Find out if Dask gives a batch up."""
        batch_id, future = flight.batch.id, flight.future
        self._connection.client.loop.add_callback(self._wait_for, batch_id, future)

    async def _wait_for(self, batch_id: int, future: Any) -> None:
        """Wait for Dask to be done with a batch (callbacks of futures outlive their executor)."""
        while future.status in ("pending", "lost"):
            await future._state.wait()
        if future.status != "finished":
            self._do_soon(lambda: self._failed(batch_id, future))

    def _failed(self, batch_id: int, future: Any) -> None:
        """Dask is done with a batch, and it did not go well."""
        flight = self._flights.find(batch_id)
        if flight is not None and flight.future is future:
            self.given_up(flight, future.exception() if future.status == "error" else None)

    def given_up(self, flight: Flight, error: BaseException | None) -> None:
        """Dask gave a batch up.

        Raises:
            RunnerUnavailable: because the scheduler is gone.
        """
        connection, batch = self._connection, flight.batch
        if connection.is_lost:
            raise connection_lost()
        is_own = getattr(error, "task", None) == key_of(batch)
        if error is not None and not is_own and flight.retries < RETRIES:
            flight.retries += 1
            if self._fetcher.try_again(flight.future, error):  # what it depends on is made first
                self.watch(flight)
                return
        if error is not None and not is_loss(error):
            problem = error if isinstance(error, Exception) else RuntimeError(repr(error))
            if self._flights.land(batch.id) is not None:
                self._listener().reported(failed_report(batch, problem))
            return
        worker = getattr(error, "last_worker", None)
        position = None
        if connection.boards is not None and is_own:
            position = find_position(connection.boards, batch)
        if worker is None:
            self._lose(batch.id, position, _cause(error))
            return
        explain = self.deaths.explain(worker.address)
        explain(lambda cause: self._do_soon(lambda: self._explained(flight, position, cause)))

    def _explained(self, flight: Flight, position: int | None, cause: str) -> None:
        """It is known by now what else that worker had."""
        self._lose(flight.batch.id, -1 if flight.is_excused else position, cause)

    def _lose(self, batch_id: int, position: int | None, cause: str) -> None:
        if self._flights.land(batch_id) is not None:
            self._listener().lost(batch_id, position, cause, False)

    def _died(self, address: str, keys: Collection[Any], explain: Explain) -> None:
        """A worker is gone that Dask had given these of its tasks."""
        flights = self._flights.with_keys(keys)
        if flights:
            if self._connection.boards is None:
                self._do_soon(lambda: excuse(flights, address, len(keys)))
            self._listener().died(sorted(each.batch.id for each in flights), explain)


def excuse(flights: Collection[Flight], address: str, tasks: int) -> None:
    """A suspect that had not begun is not to blame, if its worker had anything else.

    Args:
        flights: the batches of this client that the worker had.
        address: of the worker.
        tasks: how many it had, of whoever uses the cluster.
    """
    waiting = {each.batch.id for each in flights if each.batch.suspect and each.begun_on != address}
    for flight in flights:
        flight.is_excused = flight.batch.id in waiting and len(waiting) < tasks


def _cause(error: BaseException | None) -> str:
    return "Dask gave it up" if error is None else f"Dask gave it up: {error}"
