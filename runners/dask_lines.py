"""Lines to the workers of a Dask cluster of this machine, for batches that are done soon.

A batch that goes by Dask's scheduler costs three processes some milliseconds, which is little for
one that takes a tenth of a second, and most of the time for one that takes less: that one goes
straight to a worker that has room. No more run at once in a worker than it has threads
(``runners.dask_slots``). What has large values, or needs such, what takes long, and what only Dask
can place goes to Dask.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch, BatchReport, seconds_of
from dataflow.planner.batch_sizes import SMALL_VALUE_BYTES
from runners.dask_boards import find_position, kill_process
from runners.line import Line, LineWaiter
from runners.messages import load_report

_DEPTH = 2
_MOST_BYTES = 1_000_000
HELLO, REPORT, LOGS, BACK, FREE = "hello", "report", "logs", "back", "free"


@dataclass(eq=False)
class _Worker:
    """A thread of a Dask worker, and what it has been given over its line."""

    line: Line
    pid: int = 0
    address: str = ""
    is_occupied: bool = False
    batches: dict[int, Batch] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many more batches it should be given."""
        return _DEPTH - len(self.batches) if self.pid and not self.is_occupied else 0

    @property
    def load(self) -> tuple[int, float]:
        """How little room it has, and for how long: the least comes first."""
        return -self.room, seconds_of(self.batches.values())


class DaskLines:
    """The lines of one cluster.

    Args:
        listening: a socket that the workers connect to.
        boards: the folder in which they write down what they are at.
        listener: who is told what comes back.
        send_on: called with a batch that a worker has no thread for.
        came: called with the address of a worker, its process id and the address of its nanny.
        lost: called with the address of a worker that is gone, and what it had: the ids of the
            batches, and the call of each that it was at.

    Attributes:
        bytes_received: bytes of values that came over them.
    """

    def __init__(
        self,
        listening: socket.socket,
        boards: str,
        listener: Callable[[], RunnerListener],
        send_on: Callable[[Batch], None],
        came: Callable[[str, int, str | None], None],
        lost: Callable[[str, dict[int, int | None]], None],
    ) -> None:
        self.bytes_received = 0
        self._listening = listening
        self._boards = boards
        self._listener = listener
        self._send_on = send_on
        self._came = came
        self._lost = lost
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._closed = False
        self._waiter = LineWaiter()
        listening.setblocking(False)
        self._waiter.add(listening, self)
        self._thread = threading.Thread(target=self._serve, name="dataflow lines", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether any batch is under way."""
        return any(worker.batches for worker in self._workers)

    def have_room(self, batch: Batch) -> bool:
        """Whether a batch suits a line, and a worker has room for it as it seems now."""
        return _suits(batch) and any(worker.room > 0 for worker in self._workers)

    def take(self, batch: Batch, message: bytes) -> bool:
        """Send a batch to the worker that has most room; False: it has to go another way."""
        if not _suits(batch):
            return False
        with self._lock:
            worker = min(self._workers, key=lambda worker: worker.load, default=None)
            if self._closed or worker is None or worker.room <= 0:
                return False
            worker.batches[batch.id] = batch
            if not worker.line.send(message):
                self._waiter.wake()
            return True

    def idle_workers(self) -> list[str] | None:
        """The addresses of the workers with a thread that has nothing; None: all have, or none."""
        with self._lock:
            idle = {worker.address for worker in self._workers if not worker.batches}
            others = {worker.address for worker in self._workers} - idle
            return list(idle) if idle and others else None

    def cancel(self, batch_ids: Collection[int]) -> list[int]:
        """End the processes of workers that have these batches, and say which."""
        pids = []
        with self._lock:
            for worker in self._workers:
                if not worker.batches.keys().isdisjoint(batch_ids):
                    for batch_id in batch_ids:
                        worker.batches.pop(batch_id, None)
                    worker.is_occupied = True
                    pids.append(worker.pid)
                    kill_process(worker.pid)
        return pids

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._waiter.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _serve(self) -> None:
        while not self._closed:
            with self._lock:
                for worker in self._workers:
                    self._waiter.watch(worker.line)
            for owner, events in self._waiter.wait(None):
                if owner is self:
                    self._accept()
                else:
                    self._hear(owner, events)
        with self._lock:
            for worker in self._workers:
                worker.line.close()
            self._listening.close()
            self._waiter.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # whoever it was has gone
            return
        worker = _Worker(Line(connection))
        with self._lock:
            self._workers.append(worker)
        self._waiter.add(connection, worker)

    def _hear(self, worker: _Worker, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            with self._lock:
                worker.line.flush()
        if events & selectors.EVENT_READ:
            messages = worker.line.receive()
            if messages is None:
                self._lose(worker)
                return
            for message in messages:
                self._take_message(worker, *message)

    def _take_message(self, worker: _Worker, kind: str, batch_id: int, content: Any) -> None:
        if kind == REPORT:
            self._take_report(worker, load_report(content))
        elif kind == LOGS:
            if batch_id in worker.batches:
                self._listener().logged(batch_id, pickle.loads(content))
        elif kind == HELLO:
            worker.pid, worker.address, nanny = content
            self._came(worker.address, worker.pid, nanny)
        elif kind == FREE:
            worker.is_occupied = False
        elif kind == BACK:
            worker.is_occupied = True
            with self._lock:
                batch = worker.batches.pop(batch_id, None)
            if batch is not None:
                self._send_on(batch)

    def _take_report(self, worker: _Worker, report: BatchReport) -> None:
        if report.final:
            with self._lock:
                known = worker.batches.pop(report.batch_id, None) is not None
        else:
            known = report.batch_id in worker.batches
        if not known:
            return
        if report.values is not None:
            self.bytes_received += report.values.nbytes
        self._listener().reported(report)

    def _lose(self, worker: _Worker) -> None:
        """A worker has ended: say what it had."""
        self._waiter.remove(worker.line.connection)
        with self._lock:
            self._workers.remove(worker)
            worker.line.close()
        batches = worker.batches.values()
        if batches:
            positions = {batch.id: find_position(self._boards, batch) for batch in batches}
            self._lost(worker.address, positions)


def _suits(batch: Batch) -> bool:
    """Whether a batch is done soon, can be carried out anywhere, and has only small values."""
    return (
        batch.short
        and batch.value_bytes is not None
        and batch.value_bytes <= min(_MOST_BYTES, SMALL_VALUE_BYTES * batch.body.calls)
        and not batch.resources
        and not batch.is_concurrent
    )
