"""Processes: tasks run in worker processes of this machine. The default.

Large values stay in shared memory, or on disk when that is short: the flow's process only passes
their names on. A worker that dies is replaced, and what it was at runs again.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable

from dataflow.execution.runner_protocol import NobodyHelps, RunnerListener
from dataflow.model.batches import Batch
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.settings import get_settings
from runners.processes.pool import ProcessPool


class ProcessPoolTaskRunner(NobodyHelps):
    """Runs tasks in processes of this machine.

    Args:
        max_workers: how many processes; None: the settings' ``workers``, or one for each core.
        memory_limit: how much of the values that tasks return may lie in shared memory, in bytes or
            as text (``"4 GiB"``); what is beyond goes to disk. None: half of the memory, and less
            when little of it is free.

    Raises:
        ValueError: a number of workers or a limit that cannot be.
    """

    name = "processes"
    shares_objects = False
    costs = RunnerCosts(dispatch_seconds=400e-6, target_seconds=0.05)

    def __init__(
        self, max_workers: int | None = None, memory_limit: int | str | None = None
    ) -> None:
        if max_workers is not None and (type(max_workers) is not int or max_workers < 1):
            raise ValueError(f"max_workers must be a whole number, 1 or more, not {max_workers!r}.")
        self._size = max_workers or get_settings().workers or _cores()
        self._memory_limit = _read_bytes(memory_limit)
        self._listener: RunnerListener | None = None
        self._lock = threading.RLock()
        self._pool: ProcessPool | None = None

    def start(self, listener: RunnerListener) -> None:
        """Begin to start the workers."""
        with self._lock:
            self._listener = listener
            if self._pool is None or self._pool.pid != os.getpid() or self._pool.closed:
                self._pool = ProcessPool(self._size, listener, self._memory_limit)
                weakref.finalize(self, self._pool.close)
            else:
                self._pool.listener = listener

    @property
    def slots(self) -> int:
        """One batch for each worker."""
        return self._size

    @property
    def event_loops(self) -> int:
        """One in each worker."""
        return self._size

    def submit(self, batch: Batch) -> None:
        """Send a batch to the worker that has least to do."""
        with self._lock:
            while self._pool is None or not self._pool.submit(batch):
                assert self._listener is not None
                self.start(self._listener)  # it was idle for so long that it has ended

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """End the workers that are at these batches."""
        if self._pool is not None:
            self._pool.cancel(set(batch_ids))

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    @property
    def bytes_through_flow(self) -> int:
        """All bytes that the flow's process has sent to workers and received from them."""
        return self._pool.moved if self._pool is not None else 0

    def worker_pids(self) -> list[int]:
        """The process ids of the workers."""
        return self._pool.worker_pids() if self._pool is not None else []

    def __enter__(self) -> ProcessPoolTaskRunner:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ProcessPoolTaskRunner(max_workers={self._size})"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_bytes(limit: int | str | None) -> int | None:
    if isinstance(limit, str):
        from dask.utils import parse_bytes

        try:
            limit = parse_bytes(limit)
        except ValueError:
            raise ValueError(
                f"memory_limit={limit!r} is no amount of memory: give bytes, or text as '4 GiB'."
            ) from None
    if limit is not None and limit < 0:
        raise ValueError(f"memory_limit must be 0 or more, not {limit}.")
    return limit
