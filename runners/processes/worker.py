"""A worker process of the pool: receives batches, carries them out, sends reports.

Batches are carried out in the main thread, so that a time limit can interrupt them; those of
``async`` tasks run beside them, on an event loop in a thread. Other threads send what a long batch
has to tell before it is done: parts of its report, and log lines.

What comes over the line is an :class:`Order`; what goes is ``("report", pickled report)``,
``("logs", batch id, lines)``, or ``("back", batch id)`` for a batch that would have to wait for
long behind another.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from dataflow.model.batches import Batch, BatchReport, LogLine
from dataflow.worker.board import BATCH, DEADLINE, NEVER, Board, begin
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.columns import PackedColumn, pack, set_apart
from dataflow.worker.part_reports import part_reporter
from runners.line import has_message, receive, send
from runners.messages import unloadable_report
from runners.processes.freed_memory import FreedMemory
from runners.processes.value_files import Folders, ValueFiles

FILE_BYTES = 1_000_000
_LOG_SECONDS = 0.1
_IDLE_SECONDS = 2.0


def main(connection: socket.socket, board: Board, folders: Folders) -> None:
    """Work until the flow's process hangs up.

    Args:
        connection: to the flow's process.
        board: shared with it: what this worker is at.
        folders: where large values are put.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the flow's; it tells us what to do
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker = _Worker(connection, board, folders)
    try:
        worker.work()
    except (ConnectionError, EOFError):
        pass
    finally:
        os._exit(0)  # threads of abandoned calls must not keep the process


class Order(NamedTuple):
    """A batch for a worker, or the end of one that is ``async``.

    Attributes:
        payloads: tasks that the worker has not seen yet, pickled, by digest.
        digests: the tasks of the batch.
        data: the batch, pickled without its tasks; None: cancel it.
        calls: how many calls it has.
        is_concurrent: whether it goes to the event loop.
    """

    batch_id: int
    payloads: dict[bytes, bytes]
    digests: list[bytes]
    data: bytes | None
    calls: int
    is_concurrent: bool


class _Worker:
    def __init__(self, connection: socket.socket, board: Board, folders: Folders) -> None:
        self.connection = connection
        self.board = board
        self.payloads: dict[bytes, bytes] = {}  # of tasks, by digest
        self.tasks: dict[bytes, Any] = {}
        self.files = count(1)
        self.values = ValueFiles(folders)
        self.freed = FreedMemory()
        self.lock = threading.Lock()
        self.logs = _LogStream(self)
        self.inbox: queue.SimpleQueue[Order | None] | None = None
        self.reading = threading.Lock()
        self.cancels: dict[int, Callable[[], object]] = {}
        board[DEADLINE] = NEVER

    def work(self) -> None:
        while (order := self.next_order()) is not None:
            if order.is_concurrent:
                self.begin_reading(order)
            else:
                begin(self.board, order.batch_id)
                self.carry_out(order)
                self.board[BATCH] = 0
                self.values.arrays.tidy()

    def next_order(self) -> Order | None:
        """What to do next in the main thread; None: the flow's process hung up."""
        with self.reading:
            if self.inbox is None:
                if self.freed.is_kept and not has_message(self.connection, _IDLE_SECONDS):
                    self.let_go()
                order: Order = receive(self.connection)
                return order
        if self.freed.is_kept:
            with contextlib.suppress(queue.Empty):
                return self.inbox.get(timeout=_IDLE_SECONDS)
            self.let_go()
        return self.inbox.get()

    def let_go(self) -> None:
        """There is nothing to do: give memory back."""
        self.freed.release()
        self.values.arrays.tidy()

    def hand_back(self) -> None:
        """Hand back what waits behind a batch that takes its time; another worker may be free."""
        if not self.reading.acquire(blocking=False):
            return  # it has ended meanwhile
        try:
            for order in self.waiting_orders():
                self.payloads.update(order.payloads)  # they are not sent again
                self.send(("back", order.batch_id))
        finally:
            self.reading.release()

    def waiting_orders(self) -> Iterator[Order]:
        """Orders for the main thread that it has not taken."""
        if self.inbox is None:
            while has_message(self.connection):
                order: Order = receive(self.connection)
                if order.is_concurrent:
                    self.begin_reading(order)
                    return
                yield order
            return
        with contextlib.suppress(queue.Empty):
            while (waiting := self.inbox.get_nowait()) is not None:
                yield waiting
            self.inbox.put(None)

    def begin_reading(self, order: Order) -> None:
        """Begin the first batch on the event loop: from now on a thread takes the orders."""
        self.begin(order)
        self.inbox = queue.SimpleQueue()
        threading.Thread(target=self.read, name="dataflow orders", daemon=True).start()

    def read(self) -> None:
        """Take orders while the main thread is at a batch: from the first ``async`` one on."""
        assert self.inbox is not None
        try:
            while True:
                order: Order = receive(self.connection)
                if order.is_concurrent:
                    self.begin(order)
                else:
                    self.inbox.put(order)
        except (ConnectionError, EOFError):
            self.inbox.put(None)

    def load(self, order: Order) -> Batch | None:
        """The batch of an order; one that cannot be loaded is reported."""
        assert order.data is not None
        try:
            self.payloads.update(order.payloads)
            batch: Batch = pickle.loads(order.data)
            batch.tasks = [self.task(digest) for digest in order.digests]
        except Exception as error:
            self.report(unloadable_report(order.batch_id, order.calls, error))
            return None
        return batch

    def task(self, digest: bytes) -> Any:
        """A task that was sent with this order, or with another before."""
        if digest not in self.tasks:
            self.tasks[digest] = pickle.loads(self.payloads[digest])
        return self.tasks[digest]

    def carry_out(self, order: Order) -> None:
        """Carry out a batch here and now."""
        batch = self.load(order)
        if batch is None:
            return
        tasks = tuple(order.digests)
        self.values.arrays.offer(tasks, order.calls)
        carrier = carrier_of(batch, self.pack, partial(self.logs.add, batch.id), self.board)
        carrier.report_early(self.report)
        part_reporter.ask(carrier, self.report, late=self.hand_back)
        try:
            report = carrier.carry_out()
        finally:
            part_reporter.forget(carrier)
        if gc.get_count()[2] > 50:
            gc.collect()
        self.values.arrays.learn(tasks, order.calls)
        self.freed.release_excess()
        self.report(report)

    def begin(self, order: Order) -> None:
        """Begin (or cancel) a batch on the event loop."""
        from dataflow.worker.async_calls import AsyncBatchCarrier
        from dataflow.worker.async_thread import async_thread

        if order.data is None:
            cancel = self.cancels.pop(order.batch_id, None)
            if cancel is not None:
                cancel()
            return
        batch = self.load(order)
        if batch is None:
            return
        carrier = AsyncBatchCarrier(batch, self.pack, partial(self.logs.add, batch.id), self.board)

        def done(report: BatchReport) -> None:
            part_reporter.forget(carrier)
            with contextlib.suppress(OSError):
                self.report(report)
            self.cancels.pop(batch.id, None)

        part_reporter.ask(carrier, self.report)
        self.cancels[batch.id] = async_thread().begin(carrier, done)

    def report(self, report: BatchReport) -> None:
        """Send a report, and before it the log lines of its calls."""
        self.freed.expect(max(report.large.values(), default=0))
        self.logs.flush()
        self.send(("report", pickle.dumps(report, 5)))

    def pack(self, values: list[Any], exact: bool) -> Any:
        """A column: in the message if it is small, else in a file."""
        column = pack(values, exact)
        if column.nbytes < FILE_BYTES:
            return column
        return self.write(set_apart(column, values))

    def write(self, column: PackedColumn) -> Any:
        self.freed.expect(column.nbytes)
        return self.values.write(column, f"{os.getpid()}-{next(self.files)}")

    def send(self, message: Any) -> None:
        with self.lock:
            send(self.connection, message)


class _LogStream:
    """Log lines on their way: sent at once, or a little later together with others."""

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker
        self._lines: list[tuple[int, LogLine]] = []
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, batch_id: int, line: LogLine) -> None:
        """Take a line of a batch."""
        self._lines.append((batch_id, line))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dataflow logs", daemon=True)
            self._thread.start()
        self._wanted.set()

    def flush(self) -> None:
        """Send what there is."""
        entries, self._lines = self._lines, []
        for batch_id, lines in groupby(entries, key=itemgetter(0)):
            self.worker.send(("logs", batch_id, [line for _, line in lines]))

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            pause.wait(_LOG_SECONDS)
            try:
                self.flush()
            except OSError:
                return
