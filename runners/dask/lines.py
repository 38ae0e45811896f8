"""Lines to the workers of a Dask cluster of this machine, for batches that are done soon.

A batch that goes by Dask's scheduler costs three processes some milliseconds, which is little for
one that takes a tenth of a second, and most of the time for one that takes less: that one goes
straight to a worker that has room. No more run at once in a worker than it has threads
(``slots``). ``async`` batches take no thread: they go straight to the event loop that
has least to do. What has large values, or needs such, what takes long, and what only Dask can place
goes to Dask.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch, BatchReport, seconds_of
from dataflow.planner.batch_sizes import SMALL_VALUE_BYTES
from dataflow.worker.board import STEP_BATCH, culprit
from runners.dask.boards import find_position, kill_process, step_board
from runners.dask.deaths import WorkerDeaths
from runners.dask.messages import BACK, FREE, HELLO, LOGS, REPORT, Withdrawal
from runners.line import Line, LineWaiter
from runners.messages import load_report

_DEPTH = 2
_MOST_BYTES = 1_000_000
_CANCEL_SECONDS = 1.0
_WATCH_SECONDS = 0.1


@dataclass(eq=False)
class _Worker:
    """A thread of a Dask worker, or its event loop, and what it has been given over its line."""

    line: Line
    pid: int = 0
    address: str = ""
    is_loop: bool = False
    is_occupied: bool = False
    is_unwanted: bool = False  # we ended it: nothing that it was at is to blame
    batches: dict[int, Batch] = field(default_factory=dict)
    cancelled: dict[int, float] = field(default_factory=dict)
    """Batches of an event loop that should end, and until when they may."""

    @property
    def room(self) -> int:
        """How many more batches it should be given."""
        if not self.pid or self.is_occupied:
            return 0
        return _DEPTH if self.is_loop else _DEPTH - len(self.batches)

    @property
    def load(self) -> tuple[int, float]:
        """How little room it has, and for how long: the least comes first."""
        if self.is_loop:
            return sum(batch.body.calls for batch in self.batches.values()), 0.0
        return -self.room, seconds_of(self.batches.values())


class DaskLines:
    """The lines of one cluster.

    Args:
        listening: a socket that the workers connect to.
        boards: the folder in which they write down what they are at.
        deaths: meets the workers, and says why one died.
        listener: gives who is told what comes back.
        send_on: called with a batch that a worker has no thread for.

    Attributes:
        bytes_received: bytes of values that came over them.
    """

    def __init__(
        self,
        listening: socket.socket,
        boards: str,
        deaths: WorkerDeaths,
        listener: Callable[[], RunnerListener],
        send_on: Callable[[Batch], None],
    ) -> None:
        self.bytes_received = 0
        self._listening = listening
        self._boards = boards
        self._deaths = deaths
        self._listener = listener
        self._send_on = send_on
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

    @property
    def threads(self) -> int:
        """How many threads of workers have a line."""
        return sum(bool(worker.pid) and not worker.is_loop for worker in list(self._workers))

    def have_room(self, batch: Batch) -> bool:
        """Whether a batch suits a line, and a worker has room for it as it seems now."""
        return _suits(batch) and self._most_room(batch) is not None

    def take(self, batch: Batch, message: bytes) -> bool:
        """Send a batch to the worker that has most room; False: it has to go another way."""
        if not _suits(batch):
            return False
        with self._lock:
            worker = self._most_room(batch)
            if self._closed or worker is None:
                return False
            worker.batches[batch.id] = batch
            self._send(worker, message)
            return True

    def _most_room(self, batch: Batch) -> _Worker | None:
        is_loop = batch.is_concurrent
        suited = [each for each in self._workers if each.is_loop is is_loop and each.room > 0]
        return min(suited, key=lambda worker: worker.load, default=None)

    def _send(self, worker: _Worker, message: bytes) -> None:
        if not worker.line.send(message):
            self._waiter.wake()

    def idle_workers(self) -> list[str] | None:
        """The addresses of the workers with a thread that has nothing; None: all have, or none."""
        with self._lock:
            threads = [worker for worker in self._workers if not worker.is_loop]
            idle = {worker.address for worker in threads if not worker.batches}
            others = {worker.address for worker in threads} - idle
            return list(idle) if idle and others else None

    def cancel(self, batch_ids: Collection[int]) -> None:
        """End the workers that have these batches; their nannies start new ones.

        ``async`` batches are cancelled, and their workers only ended if they do not end.
        """
        with self._lock:
            for worker in self._workers:
                found = worker.batches.keys() & set(batch_ids)
                if found and worker.is_loop:
                    self._withdraw(worker, found)
                elif found:
                    for batch_id in found:
                        del worker.batches[batch_id]
                    self._end(worker)

    def _withdraw(self, worker: _Worker, batch_ids: Collection[int]) -> None:
        until = time.monotonic() + _CANCEL_SECONDS
        for batch_id in batch_ids:
            worker.cancelled[batch_id] = until
            self._send(worker, pickle.dumps(Withdrawal(batch_id), 5))
        self._waiter.wake()  # it may sleep, and has to watch the time now

    def _end(self, worker: _Worker) -> None:
        for each in self._of_process(worker):
            each.is_unwanted = each.is_occupied = True
        self._deaths.were_ended([worker.pid])
        kill_process(worker.pid)

    def _of_process(self, worker: _Worker) -> list[_Worker]:
        return [each for each in self._workers if each.pid == worker.pid]

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
                watches = any(worker.cancelled for worker in self._workers)
            for owner, events in self._waiter.wait(_WATCH_SECONDS if watches else None):
                if owner is self:
                    self._accept()
                else:
                    self._hear(owner, events)
            if watches:
                self._end_stuck()
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
            pid, address, nanny, is_loop = content
            with self._lock:
                worker.pid, worker.address, worker.is_loop = pid, address, is_loop
            self._deaths.meet_line(address, pid, nanny)
        elif kind == FREE:
            worker.is_occupied = False
        elif kind == BACK:
            worker.is_occupied = not worker.is_loop
            with self._lock:
                worker.cancelled.pop(batch_id, None)
                batch = worker.batches.pop(batch_id, None)
            if batch is not None:
                self._send_on(batch)

    def _take_report(self, worker: _Worker, report: BatchReport) -> None:
        if report.final:
            with self._lock:
                known = worker.batches.pop(report.batch_id, None) is not None
                worker.cancelled.pop(report.batch_id, None)
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
        if worker.pid:
            batches = worker.batches.values()
            positions = {batch.id: self._find_position(worker, batch) for batch in batches}
            self._say_lost(worker.address, positions)

    def _say_lost(self, address: str, positions: dict[int, int | None]) -> None:
        explain = self._deaths.explain(address)
        if positions:
            self._listener().died(positions, explain)
        self._deaths.line_has_ended(address)
        if not positions:
            return

        def say(cause: str) -> None:
            for batch_id, position in positions.items():
                self._listener().lost(batch_id, position, cause, False)

        explain(say)

    def _find_position(self, worker: _Worker, batch: Batch) -> int | None:
        """The call of a lost batch that its worker was at; -1: none of them; None: not known."""
        if worker.is_unwanted:
            return -1
        if worker.is_loop:
            return culprit(step_board(self._boards, worker.pid), batch)
        return find_position(self._boards, batch)

    def _end_stuck(self) -> None:
        """End workers whose event loop does not get away from a call that was cancelled."""
        now = time.monotonic()
        with self._lock:
            for worker in list(self._workers):
                late = [each for each, until in worker.cancelled.items() if now > until]
                if late and not worker.is_unwanted and self._is_stuck(worker, late):
                    self._end(worker)

    def _is_stuck(self, worker: _Worker, late: Collection[int]) -> bool:
        """Whether a worker does nothing but what was cancelled, or cannot do anything else."""
        others = [
            batch_id
            for each in self._of_process(worker)
            for batch_id in each.batches.keys() - each.cancelled.keys()
        ]
        return not others or step_board(self._boards, worker.pid)[STEP_BATCH] in late


def _suits(batch: Batch) -> bool:
    """Whether a batch is done soon, can be carried out anywhere, and has only small values."""
    return (
        (batch.short or batch.is_concurrent)
        and batch.value_bytes is not None
        and batch.value_bytes <= min(_MOST_BYTES, SMALL_VALUE_BYTES * batch.body.calls)
        and not batch.resources
        and not batch.alone
    )
