"""Inline: whoever waits for a result carries out the work itself, in order, in its own thread.

For debugging (breakpoints stop where one looks), for tests, and inside workers.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable

from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.worker.carry_batch import carry_out_in_process


class InlineTaskRunner:
    """Runs tasks in the thread that submits them or asks for their results."""

    name = "inline"
    shares_objects = True
    costs = RunnerCosts(dispatch_seconds=50e-6, target_seconds=0.05)

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._listener: RunnerListener | None = None

    def start(self, listener: RunnerListener) -> None:
        """Nothing to start."""
        self._listener = listener

    @property
    def slots(self) -> int:
        """One batch at a time."""
        return 1

    @property
    def event_loops(self) -> int:
        """The loop of the thread that helps."""
        return 1

    def submit(self, batch: Batch) -> None:
        """Keep a batch for whoever helps next."""
        self._queue.put(batch)

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """What is under way is in the caller's own thread; what waits is dropped."""
        ids = set(batch_ids)
        kept = []
        while True:
            try:
                batch = self._queue.get_nowait()
            except queue.Empty:
                break
            if batch is not None and batch.id not in ids:
                kept.append(batch)
        for batch in kept:
            self._queue.put(batch)

    def helps(self, inside: bool) -> bool:
        """Who waits always works."""
        return True

    def help(self, seconds: float) -> None:
        """Carry out the next batch."""
        try:
            batch = self._queue.get(timeout=seconds)
        except queue.Empty:
            return
        if batch is not None and self._listener is not None:
            carry_out_in_process(batch, self._listener.reported, self._listener.logged)

    def wake(self) -> None:
        """Have a helper look whether what it waits for is there."""
        self._queue.put(None)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> InlineTaskRunner:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "InlineTaskRunner()"
