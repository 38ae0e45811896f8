"""Inline: whoever waits for a result carries out the work itself, in order, in its own thread.

For debugging (breakpoints stop where one looks), for tests, and inside workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.worker.carry_batch import carry_out_in_process
from runners.batch_queue import BatchQueue


class InlineTaskRunner:
    """Runs tasks in the thread that submits them or asks for their results."""

    name = "inline"
    shares_objects = True
    costs = RunnerCosts(dispatch_seconds=50e-6, target_seconds=0.05)

    def __init__(self) -> None:
        self._queue = BatchQueue()
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
        self._queue.drop(set(batch_ids))

    def helps(self, inside: bool) -> bool:
        """Who waits always works."""
        return True

    def help(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Carry out the next batch."""
        batch = self._queue.get_until(is_over, seconds)
        if batch is not None and self._listener is not None:
            carry_out_in_process(batch, self._listener.reported, self._listener.logged)

    def wake(self) -> None:
        """Have helpers see whether their wait is over."""
        self._queue.wake()

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> InlineTaskRunner:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "InlineTaskRunner()"
