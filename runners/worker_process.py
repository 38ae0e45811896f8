"""A worker process of the pool: receives batches, carries them out, sends reports.

Batches are carried out in the main thread, so that a time limit can interrupt them. A second thread
sends what a long batch has to tell before it is done: its log lines.

A message is its length (8 bytes) and a pickle. To the worker: ``(batch id, new tasks by digest,
digests in order, pickled batch, number of calls)``; from it: ``("report", pickled report)`` and
``("logs", batch id, lines)``.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import struct
import threading
from collections.abc import MutableSequence
from typing import Any

from dataflow.model.batches import Batch, BatchReport, LogLine
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.columns import PackedColumn, pack, write_file
from runners.messages import unloadable_report

HEADER = struct.Struct("<Q")
FILE_BYTES = 1_000_000
_LOG_SECONDS = 0.1
_NEVER = 1 << 62


def main(connection: socket.socket, board: MutableSequence[int], folder: str) -> None:
    """Work until the flow's process hangs up.

    Args:
        connection: to the flow's process.
        board: shared with it: deadline of the call under way, its position, the batch.
        folder: where large values are put.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the flow's; it tells us what to do
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker = _Worker(connection, board, folder)
    try:
        worker.work()
    except (ConnectionError, EOFError):
        pass
    finally:
        os._exit(0)  # threads of abandoned calls must not keep the process


class _Worker:
    def __init__(self, connection: socket.socket, board: MutableSequence[int], folder: str) -> None:
        self.connection = connection
        self.board = board
        self.folder = folder
        self.tasks: dict[bytes, Any] = {}
        self.files = 0
        self.lock = threading.Lock()
        self.logs = _LogStream(self)
        board[0] = _NEVER

    def work(self) -> None:
        while True:
            message = pickle.loads(receive(self.connection))
            self.board[1] = 0
            self.board[2] = message[0]
            report = self.carry_out(message)
            self.logs.flush()
            self.send(("report", pickle.dumps(report, 5)))
            self.board[2] = 0

    def carry_out(self, message: Any) -> BatchReport:
        batch_id, payloads, digests, data, count = message
        try:
            for digest, payload in payloads.items():
                self.tasks[digest] = pickle.loads(payload)
            batch: Batch = pickle.loads(data)
            batch.tasks = [self.tasks[digest] for digest in digests]
        except Exception as error:
            return unloadable_report(batch_id, count, error)
        self.logs.batch_id = batch_id
        carrier = carrier_of(batch, self.pack, self.logs.add, self.board)
        report = carrier.carry_out()
        if gc.get_count()[2] > 50:
            gc.collect()
        return report

    def pack(self, values: list[Any], exact: bool) -> Any:
        """A column: in the message if it is small, else in shared memory."""
        column = pack(values, exact)
        if column.nbytes < FILE_BYTES:
            return column
        if not exact and len(values) > 1:
            column = pack(values, exact=True)
        return self.write(column)

    def write(self, column: PackedColumn) -> Any:
        self.files += 1
        return write_file(column, f"{self.folder}/{os.getpid()}-{self.files}")

    def send(self, message: Any) -> None:
        data = pickle.dumps(message, 5)
        with self.lock:
            self.connection.sendall(HEADER.pack(len(data)) + data)


class _LogStream:
    """Log lines on their way: sent at once, or a little later together with others."""

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker
        self.batch_id = 0
        self._lines: list[LogLine] = []
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, line: LogLine) -> None:
        """Take a line."""
        self._lines.append(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dataflow logs", daemon=True)
            self._thread.start()
        self._wanted.set()

    def flush(self) -> None:
        """Send what there is."""
        lines, self._lines = self._lines, []
        if lines:
            self.worker.send(("logs", self.batch_id, lines))

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


def receive(connection: socket.socket) -> bytearray:
    """The next message.

    Raises:
        EOFError: the other side hung up.
    """
    (size,) = HEADER.unpack(_receive_exactly(connection, HEADER.size))
    return _receive_exactly(connection, size)


def _receive_exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return data
