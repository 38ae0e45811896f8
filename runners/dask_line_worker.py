"""A Dask worker's end of its line to the flow's process (see ``runners.dask_lines``).

Dask loads this module into each worker of a cluster of ours (as a "preload"). A thread takes what
comes over the line and gives it to the threads that Dask's own tasks run in, so that these and
what comes over the line wait for each other. If Dask's tasks have them all, it is handed back.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import dask.config
from distributed import Worker
from distributed.utils import set_thread_state
from distributed.worker import _worker_cvar

from dataflow.model.batches import Batch, BatchReport
from dataflow.worker.board import BATCH, Board
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.columns import pack
from dataflow.worker.part_reports import part_reporter
from runners.dask_boards import board_for
from runners.dask_inputs import ConstantMissing, load_batch
from runners.dask_lines import BACK, FREE, HELLO, REPORT
from runners.dask_logs import LogStream
from runners.dask_messages import Message
from runners.line import receive, send
from runners.messages import unloadable_report

_PATIENCE_MS = 20


def dask_setup(server: Any) -> None:
    """Called by Dask in each process that it starts."""
    path = dask.config.get("dataflow.lines", None)
    if path is None or not isinstance(server, Worker):
        return
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:  # batches come by Dask's scheduler
        connection.close()
        return
    end = _LineEnd(server, connection)
    threading.Thread(target=end.serve, name="dataflow line", daemon=True).start()


class _LineEnd:
    """Takes batches off the line and sends their reports back."""

    def __init__(self, worker: Any, connection: socket.socket) -> None:
        self._worker = worker
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._executor = worker.executors["default"]
        self._threads = worker.state.nthreads
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[None]] = {}
        self._running = 0
        self._since = 0.0  # when a batch began to wait while there was no other

    def serve(self) -> None:
        """Work until the flow's process hangs up."""
        hello = os.getpid(), self._worker.address, self._threads
        with contextlib.suppress(OSError, EOFError, RuntimeError):  # either side has ended
            self._send(HELLO, 0, hello)
            while True:
                if self._is_readable():
                    self._take(receive(self._connection))
                self._hand_back()

    def _is_readable(self) -> bool:
        return bool(self._poll.poll(_PATIENCE_MS if self._waiting else None))

    def _take(self, message: Message) -> None:
        with self._lock:
            if not self._waiting and not self._running:
                self._since = time.monotonic()
            self._waiting[message.batch_id] = self._executor.submit(self._work, message)

    def _work(self, message: Message) -> None:
        with self._lock:
            del self._waiting[message.batch_id]
            self._running += 1
        try:
            with _as_task(self._worker, message):
                self._carry_out(message)
        finally:
            with self._lock:
                self._running -= 1
                self._since = time.monotonic()

    def _hand_back(self) -> None:
        """Give batches back that wait for Dask's tasks, and say when these have ended."""
        with self._lock:
            waited_ms = 1000 * (time.monotonic() - self._since)
            if not self._waiting or self._running >= self._threads or waited_ms < _PATIENCE_MS:
                return
            back = [number for number, future in self._waiting.items() if future.cancel()]
            for batch_id in back:
                del self._waiting[batch_id]
        for batch_id in back:
            self._send(BACK, batch_id, None)
        self._executor.submit(self._send, FREE, 0, None)

    def _carry_out(self, message: Message) -> None:
        board = board_for(message)
        try:
            batch = load_batch(self._worker, message, ())
        except ConstantMissing:
            self._send(BACK, message.batch_id, None)
            self._send(FREE, 0, None)
            return
        except Exception as error:
            self._report(unloadable_report(message.batch_id, message.calls, error))
            return
        try:
            self._report(self._carried_out(batch, board))
        finally:
            board[BATCH] = 0

    def _carried_out(self, batch: Batch, board: Board) -> BatchReport:
        logs = LogStream(partial(self._tell, batch.id))
        carrier = carrier_of(batch, pack, logs.add, board)
        part_reporter.ask(carrier, self._report)
        try:
            with logs:
                report = carrier.carry_out()
        finally:
            part_reporter.forget(carrier)
        report.logs = [*logs.left(), *report.logs]
        return report

    def _report(self, report: BatchReport) -> None:
        self._send(REPORT, report.batch_id, pickle.dumps(report, 5))

    def _tell(self, batch_id: int, kind: str, data: bytes) -> None:
        self._send(kind, batch_id, data)

    def _send(self, kind: str, batch_id: int, content: Any) -> None:
        with self._sending:
            send(self._connection, (kind, batch_id, content))


@contextlib.contextmanager
def _as_task(worker: Any, message: Message) -> Iterator[None]:
    """Have ``get_worker()``, ``get_client()`` and ``secede()`` work as in a task of Dask."""
    key = f"dataflow-line-{message.batch_id}"
    state = {"worker": worker}
    with set_thread_state(start_time=time.time(), execution_state=state, key=key):
        token = _worker_cvar.set(worker)
        try:
            yield
        finally:
            _worker_cvar.reset(token)
