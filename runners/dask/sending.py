"""Sends batches to a cluster: over a line what is done soon, else by Dask, all in one message."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import groupby
from typing import Any

from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch
from dataflow.worker.outcomes import failed_report
from runners.dask import worker as dask_worker
from runners.dask.connection import Connection, connection_lost
from runners.dask.encoding import LARGE_BYTES, Encoder, allow_large_messages
from runners.dask.flights import Flight, Flights, Outgoing, key_of
from runners.dask.lines import DaskLines
from runners.dask.losses import Losses
from runners.dask.patience import resources_of


class Sender:
    """Sends to one cluster.

    Args:
        connection: to the cluster.
        encoder: makes the messages.
        lines: to its workers, if it has any.
        flights: where is noted what Dask has.
        losses: watches over that.
        listener: gives who is told of batches that cannot be sent.
    """

    def __init__(
        self,
        connection: Connection,
        encoder: Encoder,
        lines: DaskLines | None,
        flights: Flights,
        losses: Losses,
        listener: Callable[[], RunnerListener],
    ) -> None:
        self._connection = connection
        self._encoder = encoder
        self._lines = lines
        self._flights = flights
        self._losses = losses
        self._listener = listener

    def send_at_once(self, batch: Batch) -> bool:
        """Send a batch over a line, if nothing but its message has to be sent for it.

        Returns:
            Whether it was; this never waits, so any thread may ask.
        """
        if self._lines is None or self._connection.is_lost or not self._lines.have_room(batch):
            return False
        with contextlib.suppress(Exception):  # whoever else sends it says what is wrong
            message = self._encoder.encode_plain(batch)
            return message is not None and self._lines.take(batch, message)
        return False

    def send(self, batches: list[Batch]) -> None:
        """Send batches, each by the way that suits it; what cannot be sent is reported failed.

        Raises:
            RunnerUnavailable: the scheduler is gone.
        """
        if self._connection.is_lost:
            raise connection_lost()
        left = [each for batch in batches if (each := self._encoded(batch)) is not None]
        left.sort(key=_kind)
        for _, group in groupby(left, key=_kind):
            self._send_alike(list(group))

    def _encoded(self, batch: Batch) -> Outgoing | None:
        """A batch for Dask's scheduler; None: it went over a line, or does not have to go."""
        if self._flights.is_cancelled(batch):
            return None
        try:
            self._connection.check_resources(batch)
            code = self._encoder.code_of(batch)
            message, dependencies = self._encoder.encode(batch, code)
            if dependencies or not (self._lines and self._lines.take(batch, message)):
                return Outgoing(Flight(batch, code), message, dependencies)
            if self._flights.is_cancelled(batch):  # meanwhile
                self._lines.cancel([batch.id])
        except Exception as error:
            self._listener().reported(failed_report(batch, error))
        return None

    def _send_alike(self, group: list[Outgoing]) -> None:
        """Send batches of one priority that need the same resources: one message for all."""
        if sum(len(each.message) for each in group) > LARGE_BYTES:
            allow_large_messages()
        for flight in self._flights.take_off(group, self._give_to_dask):
            self._losses.watch(flight)

    def _give_to_dask(self, group: list[Outgoing]) -> list[Any]:
        batches = [each.flight.batch for each in group]
        depend = any(each.dependencies for each in group)
        idle = self._lines.idle_workers() if self._lines and not depend else None
        futures: list[Any] = self._connection.client.map(
            dask_worker.run_batch,
            [each.message for each in group],
            [each.dependencies for each in group],
            key=[key_of(batch) for batch in batches],
            pure=False,
            priority=batches[0].priority,
            resources=batches[0].resources or None,
            workers=idle,
            allow_other_workers=idle is not None,
        )
        return futures


def _kind(outgoing: Outgoing) -> tuple[Any, ...]:
    batch = outgoing.flight.batch
    return -batch.priority, resources_of(batch)
