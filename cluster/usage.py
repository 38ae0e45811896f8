"""Who uses a cluster, and what it has: asked of its scheduler, whoever started that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster.versions import by_value


@dataclass(frozen=True, slots=True)
class Usage:
    """How a cluster fares.

    Attributes:
        workers, threads: that are there.
        memory_bytes: that its workers may use; 0: no limit is known.
        clients: connected to it, but for who asks.
        tasks: that run or wait.
    """

    workers: int
    threads: int
    memory_bytes: int
    clients: int
    tasks: int

    def __bool__(self) -> bool:
        """Whether anybody uses it."""
        return self.clients + self.tasks > 0


def usage_of(client: Any) -> Usage:
    """Ask the scheduler of a client."""
    return Usage(*client.run_on_scheduler(by_value(_count), own=client.id))


def _count(dask_scheduler: Any, own: str) -> tuple[int, int, int, int, int]:
    """Carried out by the scheduler, which may lack dataflow."""
    workers = list(dask_scheduler.workers.values())
    clients = [
        key
        for key in dask_scheduler.clients
        if key not in (own, "fire-and-forget") and not key.startswith("Client-worker-")
    ]
    waiting = len(dask_scheduler.queued) + len(dask_scheduler.unrunnable)
    return (
        len(workers),
        sum(worker.nthreads for worker in workers),
        sum(worker.memory_limit or 0 for worker in workers),
        len(clients),
        sum(len(worker.processing) for worker in workers) + waiting,
    )
