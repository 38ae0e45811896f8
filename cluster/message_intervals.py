"""How long the processes of a cluster gather messages before they send them.

Dask's own gather for 2 to 10 ms at each end, since each of its tasks is some messages. Here a
message is a batch of tasks, so there are few of them, and somebody waits for each: with Dask's
intervals a batch is back after 11 ms, with these after 4. Dask loads this module into the scheduler
and the workers of a cluster that is ours (as a "preload"); a cluster that was given stays as it is.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from distributed import Scheduler, Worker
from distributed.diagnostics.plugin import SchedulerPlugin

SECONDS = 0.0005
"""How long a message waits for others, and for a thread that computes beside the one that sends."""


def dask_setup(server: Any) -> None:
    """Called by Dask in each process that it starts."""
    if isinstance(server, Worker):
        send_soon(server.batched_stream)
        sys.setswitchinterval(SECONDS)
    elif isinstance(server, Scheduler):
        server.add_plugin(_SendSoon(), name="dataflow message intervals")


def send_soon(stream: Any) -> None:
    """Have a stream of messages send what is there without waiting for more."""
    stream.interval = SECONDS


class _SendSoon(SchedulerPlugin):
    """Shortens the intervals of the scheduler's streams as they are made."""

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """A worker has come."""
        send_soon(scheduler.stream_comms[worker])

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        """A client is about to come: its stream is made once this has returned."""

        def set_interval() -> None:
            stream = scheduler.client_comms.get(client)
            if stream is not None:
                send_soon(stream)

        asyncio.get_running_loop().call_soon(set_interval)
