"""A Dask cluster that is ready, and what is known of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.needs import ALL_CODE, Needs
from dataflow.errors import RunnerUnavailable
from dataflow.execution.runner_protocol import Remaining
from dataflow.model.batches import Batch


def _leave_open() -> None:
    """A cluster that was given is not ours to end."""


def tell_nobody(remaining: Remaining) -> None:
    """Its size is not ours to choose."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A cluster that is ready.

    Attributes:
        client: connected to its scheduler; ours.
        boards: the folder in which its workers, on this machine, write down what they are at.
        lines: a socket to which its workers, on this machine, connect.
        close: ends the cluster, if it is ours.
        ends_idle: whether it should end when it has not been used for a while.
        grows: whether workers may come that are not there yet.
        expect: tells whoever sizes it what remains.
        needs: what a run needs of it.
    """

    client: Any
    boards: str | None = None
    lines: socket.socket | None = None
    close: Callable[[], None] = _leave_open
    ends_idle: bool = False
    grows: bool = False
    expect: Callable[[Remaining], None] = tell_nobody
    needs: Needs = ALL_CODE

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler hung up (Dask's client may be trying to reach it again)."""
        return bool(self.client.status != "running")

    def check_resources(self, batch: Batch) -> None:
        """Refuse what no worker can ever give; Dask would wait for ever.

        Raises:
            RunnerUnavailable: no worker has what the batch needs.
        """
        if not batch.resources or self.grows:
            return
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        for worker in workers:
            has = worker["resources"]
            if all(has.get(name, 0) >= amount for name, amount in batch.resources.items()):
                return
        wanted = ", ".join(f"{name}: {amount:g}" for name, amount in batch.resources.items())
        raise RunnerUnavailable(
            f"No worker of the Dask cluster has what task {batch.tasks[0].name!r} needs "
            f"({wanted}).",
            hint='Start workers that have it, such as cluster_kwargs={"resources": {"GPU": 1}}.',
        )


def connection_lost() -> RunnerUnavailable:
    """The error of a run whose scheduler is gone."""
    return RunnerUnavailable(
        "The connection to the Dask scheduler was lost.",
        hint="Did its process end? What it had not finished has to run again.",
    )
