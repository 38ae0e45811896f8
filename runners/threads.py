"""Threads: tasks run in threads of the flow's own process and share its objects.

For tasks that wait (for networks, disks, databases) and for arguments that cannot leave the
process. A thread that waits for another task inside a task works meanwhile, so that no number of
threads is too small.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from dataflow.execution.interruptions import RunCancelled
from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch, BatchReport
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.settings import get_settings
from dataflow.worker.carry_batch import begin_in_process, carry_out_in_process
from dataflow.worker.interruptible import Interruptible
from runners.batch_queue import BatchQueue

if TYPE_CHECKING:
    from dataflow.worker.async_thread import AsyncThread


class ThreadPoolTaskRunner:
    """Runs tasks in threads.

    Args:
        max_workers: how many threads; None: the settings' ``workers``, or four more than cores.

    Raises:
        ValueError: a number of workers that cannot be.
    """

    name = "threads"
    shares_objects = True
    costs = RunnerCosts(dispatch_seconds=100e-6, target_seconds=0.05)

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and (type(max_workers) is not int or max_workers < 1):
            raise ValueError(f"max_workers must be a whole number, 1 or more, not {max_workers!r}.")
        self._workers = max_workers or get_settings().workers or (os.cpu_count() or 1) + 4
        self._queue = BatchQueue()
        self._threads: list[threading.Thread] = []
        self._listener: RunnerListener | None = None
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()
        self._async: AsyncThread | None = None
        self._bodies: dict[int, tuple[Interruptible, threading.Thread]] = {}
        self._cancels: dict[int, Callable[[], object]] = {}
        self._busy = 0
        self._pid = os.getpid()

    def start(self, listener: RunnerListener) -> None:
        """Threads are started as they are needed."""
        self._listener = listener
        if self._pid != os.getpid():  # a forked child has none of the threads
            self._threads.clear()
            self._queue = BatchQueue()
            self._pid = os.getpid()

    @property
    def slots(self) -> int:
        """One batch for each thread."""
        return self._workers

    @property
    def event_loops(self) -> int:
        """All threads share that of their process."""
        return 1

    def submit(self, batch: Batch) -> None:
        """Give a batch to the next free thread, or to the event loop if it is ``async``."""
        if batch.is_concurrent:
            from dataflow.worker.async_thread import async_thread

            assert self._listener is not None
            self._async = async_thread()
            self._begin(batch, self._listener)
            return
        with self._lock:
            self._busy += 1
            self._start_threads()
        self._queue.put(batch)

    def _start_threads(self) -> None:
        wanted = min(self._busy, self._workers)
        while len(self._threads) < wanted:
            name = f"dataflow task {len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _begin(self, batch: Batch, listener: RunnerListener) -> None:
        def reported(report: BatchReport) -> None:
            if report.final:
                self._cancels.pop(batch.id, None)
            listener.reported(report)

        self._cancels[batch.id] = _nothing
        cancel = begin_in_process(batch, reported, listener.logged)
        if batch.id in self._cancels:  # it has not ended meanwhile
            self._cancels[batch.id] = cancel

    def _work(self) -> None:
        thread = threading.current_thread()
        while (batch := self._queue.get(lambda: thread in self._threads)) is not None:
            with contextlib.suppress(RunCancelled):  # of a flow that was called in the task
                self._carry_out(batch)

    def _carry_out(self, batch: Batch) -> None:
        body = Interruptible()
        with self._lock:
            self._bodies[batch.id] = body, threading.current_thread()
        try:
            body.run(partial(self._carry_out_unless_cancelled, batch))
        except RunCancelled as error:
            if error.run_id != _name(batch.id):
                raise
        finally:
            with self._lock:
                self._cancelled.discard(batch.id)
                if self._bodies.pop(batch.id, None) is not None:  # else it was given up
                    self._busy -= 1

    def _carry_out_unless_cancelled(self, batch: Batch) -> None:
        listener = self._listener
        if batch.id not in self._cancelled and listener is not None:
            carry_out_in_process(batch, listener.reported, listener.logged)

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """Batches that wait do not begin, ``async`` calls are cancelled.

        A thread that is at one is interrupted at its next line of Python; if it does not get to
        one within a second, another thread takes its place.
        """
        for batch_id in batch_ids:
            self._cancels.pop(batch_id, _nothing)()
            self._cancelled.add(batch_id)
            with self._lock:
                found = self._bodies.get(batch_id)
            if found is not None:
                error = RunCancelled(_name(batch_id))
                found[0].interrupt(error, late=partial(self._give_up, batch_id))

    def _give_up(self, batch_id: int) -> None:
        """The thread of a cancelled batch does not come back: it ends when the call does."""
        with self._lock:
            found = self._bodies.pop(batch_id, None)
            if found is None:
                return
            self._busy -= 1
            if found[1] in self._threads:
                self._threads.remove(found[1])
            self._start_threads()

    def helps(self, inside: bool) -> bool:
        """A task that waits for another works meanwhile."""
        return inside

    def help(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Carry out the next batch in the calling thread."""
        if self._async is not None and self._async.is_here:
            self._async.help(is_over, seconds)
            return
        batch = self._queue.get_until(is_over, seconds)
        if batch is not None:
            self._carry_out(batch)

    def wake(self) -> None:
        """Have helpers see whether their wait is over."""
        self._queue.wake()
        if self._async is not None:
            self._async.wake()

    def close(self) -> None:
        """Let the threads end."""
        self._threads.clear()
        self._queue.wake_workers()

    def __enter__(self) -> ThreadPoolTaskRunner:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ThreadPoolTaskRunner(max_workers={self._workers})"


def _name(batch_id: int) -> str:
    return f"batch {batch_id}"


def _nothing() -> None:
    """Cancels what has ended."""
