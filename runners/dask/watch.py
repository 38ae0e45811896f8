"""Looks at which workers a cluster has while batches are under way; acts if there are none."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from dataflow.errors import RunnerUnavailable
from dataflow.model.batches import Batch
from runners.dask.connection import Connection
from runners.dask.patience import Patience, resources_of

_HINT = (
    "What has ended is recorded: see to it that workers come, and resume the run. "
    "patience_seconds in the cluster's spec says how long a run waits."
)
_logger = logging.getLogger("dataflow.cluster")


class WatchListener(Protocol):
    """Who is told of workers; but for ``do_soon`` and ``under_way`` in its own thread."""

    def do_soon(self, step: Callable[[], None]) -> None:
        """Have its thread do something."""

    def under_way(self) -> list[Batch]:
        """The batches that Dask has."""

    def resized(self, threads: int) -> None:
        """So many threads are there."""

    def gave_up(self, error: RunnerUnavailable) -> None:
        """There was no worker for too long, and it was asked why; perhaps there is one by now."""

    def refused(self, batch: Batch, error: RunnerUnavailable) -> None:
        """No worker with what a batch needs has come for too long."""


class WorkerWatch:
    """Watches the workers of a cluster; its methods are called in the listener's thread.

    Args:
        connection: to the cluster.
        listener: who is told.
    """

    def __init__(self, connection: Connection, listener: WatchListener) -> None:
        self._connection = connection
        self._listener = listener
        self._patience = Patience(connection.needs.patience_seconds)
        self._asking: threading.Thread | None = None

    def look(self, has_work: bool) -> None:
        """Find out how many workers there are, if it matters; what follows comes later."""
        if has_work:
            self._connection.client.loop.add_callback(self._look)
        else:
            self._patience.look((), (), time.monotonic())

    async def _look(self) -> None:
        """Ask the scheduler (its own events would tell, but to listen breaks the client)."""
        with contextlib.suppress(Exception):
            client = self._connection.client
            if any(batch.resources for batch in self._listener.under_way()):
                info = (await client.scheduler.identity())["workers"].values()
                threads = sum(worker["nthreads"] for worker in info)
                offers = [worker["resources"] for worker in info]
            else:
                threads = sum((await client.nthreads()).values())
                offers = [{}] if threads else []
            self._listener.do_soon(lambda: self._take_in(threads, offers))

    def _take_in(self, threads: int, offers: Sequence[Mapping[str, float]]) -> None:
        self._listener.resized(threads)
        batches = self._listener.under_way()
        wanted = {resources_of(batch) for batch in batches}
        waited = self._patience.look(wanted, offers, time.monotonic())
        if waited and not offers:
            self._wait_or_ask(max(waited.values()))
            return
        for batch in batches:
            seconds = waited.get(resources_of(batch))
            if seconds is not None and self._patience.is_over(seconds):
                error = self._connection.lacks(batch, offers, seconds)
                self._listener.refused(batch, error)

    def _wait_or_ask(self, waited: float) -> None:
        """Ask why there are no workers, now and then; when patience is over, for the last time."""
        is_over = self._patience.is_over(waited)
        is_asking = self._asking is not None and self._asking.is_alive()
        if is_asking or not (is_over or self._patience.should_say()):
            return
        self._asking = threading.Thread(
            target=self._ask, args=(waited, is_over), name="dataflow dask report", daemon=True
        )
        self._asking.start()

    def _ask(self, waited: float, is_over: bool) -> None:
        message = self._connection.has_no_workers(len(self._listener.under_way()), waited)
        if not is_over:
            _logger.warning("%s", message)
            return
        error = RunnerUnavailable(message, hint=_HINT)
        self._listener.do_soon(lambda: self._listener.gave_up(error))
