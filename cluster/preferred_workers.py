"""What should go to certain workers, and may go to others, does so when those have died.

Dask lets it go to others as long as there are any. If all workers have died, it waits for those it
named, which never come back: new ones have other addresses. Dask loads this module into the
scheduler of a cluster of ours (as a "preload").
"""

from __future__ import annotations

from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin


def dask_setup(server: Any) -> None:
    """Called by Dask in the process that it starts."""
    if isinstance(server, Scheduler):
        server.add_plugin(_AnyWorker(), name="dataflow preferred workers")


class _AnyWorker(SchedulerPlugin):
    """Has what no worker could take have no preference any more."""

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """A worker has come; in a moment it is looked what it can take."""
        for task in scheduler.unrunnable:
            if task.loose_restrictions:
                task.worker_restrictions = None
