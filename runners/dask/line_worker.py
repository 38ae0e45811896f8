"""A Dask worker's ends of its lines to the flow's process (see ``runners.dask.lines``).

Dask loads this module into each worker of a cluster of ours (as a "preload"). A worker has as many
lines as threads, and for each of them a thread of its own: a batch that finds Dask's own tasks at
work is handed back. One line more goes to its event loop, for ``async`` batches, many at once.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import dask.config
from distributed import Worker
from distributed.threadpoolexecutor import ThreadPoolExecutor
from distributed.utils import set_thread_state
from distributed.worker import _worker_cvar

from dataflow.model.batches import Batch, BatchReport
from dataflow.worker.board import BATCH, Board
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.columns import pack
from dataflow.worker.part_reports import part_reporter
from runners.dask.alone import gate
from runners.dask.boards import board_for, board_of_thread
from runners.dask.code import code_of, keep, load_error, used
from runners.dask.code_worlds import context_of_world
from runners.dask.inputs import ConstantMissing, load_batch
from runners.dask.logs import LogStream
from runners.dask.messages import BACK, FREE, HELLO, REPORT, Message, Withdrawal
from runners.dask.slots import slots_of
from runners.line import has_message, receive, send
from runners.messages import unloadable_report

_PATIENCE_SECONDS = 0.02


def dask_setup(server: Any) -> None:
    """Called by Dask in each process that it starts."""
    path = dask.config.get("dataflow.lines", None)
    if path is None or not isinstance(server, Worker):
        return
    gc.freeze()  # to go over all that Dask imports again and again took 40 ms each time
    threads = server.state.nthreads
    executor: Any = ThreadPoolExecutor(threads + 1, thread_name_prefix="dataflow line")  # type: ignore[no-untyped-call]
    for end in (*[_ThreadEnd] * threads, _LoopEnd):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError:  # batches come by Dask's scheduler
            connection.close()
            return
        executor.submit(end(server, connection).serve)


class _LineEnd:
    """Takes batches off a line and sends their reports back."""

    is_loop = False

    def __init__(self, worker: Any, connection: socket.socket) -> None:
        self._worker = worker
        self._connection = connection
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Work until the flow's process hangs up."""
        with contextlib.suppress(OSError, EOFError):
            worker = self._worker
            self._send(HELLO, 0, (os.getpid(), worker.address, worker.nanny, self.is_loop))
            while True:
                self._take_next()

    def _take_next(self) -> None:
        raise NotImplementedError

    def _load(self, message: Message, stack: ExitStack) -> Batch | None:
        """The batch of a message, and ``stack`` enters its world; None: it has been answered."""
        try:
            world = stack.enter_context(code_of(self._worker, message.code))
            return load_batch(self._worker, message, (), world)
        except ConstantMissing:
            self._hand_back(message)
        except Exception as error:
            problem = load_error(self._worker, error)
            self._report(unloadable_report(message.batch_id, message.calls, problem))
        return None

    def _hand_back(self, message: Message) -> None:
        """Have it sent elsewhere, or once more."""
        self._send(BACK, message.batch_id, None)

    def _report(self, report: BatchReport) -> None:
        self._send(REPORT, report.batch_id, pickle.dumps(report, 5))

    def _tell(self, batch_id: int, kind: str, data: bytes) -> None:
        self._send(kind, batch_id, data)

    def _send(self, kind: str, batch_id: int, content: Any) -> None:
        with self._sending:
            send(self._connection, (kind, batch_id, content))


class _ThreadEnd(_LineEnd):
    """Carries out one batch after the other, in this thread."""

    def __init__(self, worker: Any, connection: socket.socket) -> None:
        super().__init__(worker, connection)
        self._slots = slots_of(worker)
        self._receiving = threading.Lock()

    def _take_next(self) -> None:
        with self._receiving:
            message = receive(self._connection)
        if not self._slots.acquire(_PATIENCE_SECONDS):
            self._hand_back(message)
            return
        try:
            if not gate.enter():
                self._hand_back(message)
                return
            try:
                with _as_task(self._worker, message):
                    self._carry_out(message)
            finally:
                gate.leave()
        finally:
            self._slots.release()

    def _hand_back(self, message: Message) -> None:
        """Have it sent elsewhere; nothing more should come until a slot is free."""
        super()._hand_back(message)
        self._slots.when_freed(self._say_free)

    def _hand_back_waiting(self) -> None:
        """Hand back what waits behind a batch that takes its time."""
        if not self._receiving.acquire(blocking=False):
            return  # it has ended meanwhile
        try:
            while has_message(self._connection):
                self._hand_back(receive(self._connection))
        finally:
            self._receiving.release()

    def _say_free(self) -> None:
        with contextlib.suppress(OSError):
            self._send(FREE, 0, None)

    def _carry_out(self, message: Message) -> None:
        board = board_for(message)
        with used(message.code), ExitStack() as stack:
            batch = self._load(message, stack)
            if batch is None:
                return
            try:
                self._report(self._carried_out(batch, board))
            finally:
                board[BATCH] = 0

    def _carried_out(self, batch: Batch, board: Board) -> BatchReport:
        logs = LogStream(partial(self._tell, batch.id))
        carrier = carrier_of(batch, pack, logs.add, board)
        carrier.stay_ns = math.inf  # what leaves goes through the flow's process
        carrier.report_early(self._report)
        part_reporter.ask(carrier, self._report, late=self._hand_back_waiting)
        try:
            with logs:
                report = carrier.carry_out()
        finally:
            part_reporter.forget(carrier)
        report.logs = [*logs.left(), *report.logs]
        return report


class _LoopEnd(_LineEnd):
    """Begins ``async`` batches on the event loop of this process, each as soon as it is there."""

    is_loop = True

    def __init__(self, worker: Any, connection: socket.socket) -> None:
        super().__init__(worker, connection)
        self._lock = threading.Lock()
        self._cancels: dict[int, Callable[[], object]] = {}

    def _take_next(self) -> None:
        message = receive(self._connection)
        if isinstance(message, Withdrawal):
            with self._lock:
                cancel = self._cancels.get(message.batch_id)
            if cancel is not None:
                cancel()
            return
        if not gate.enter():
            self._hand_back(message)
            return
        let_go = keep(message.code)

        def leave() -> None:
            let_go()
            gate.leave()

        with ExitStack() as stack:
            batch = self._load(message, stack)
            if batch is None:
                leave()
            else:
                self._begin(batch, board_of_thread(message.boards), leave)

    def _begin(self, batch: Batch, board: Board, leave: Callable[[], object]) -> None:
        from dataflow.worker.async_calls import AsyncBatchCarrier
        from dataflow.worker.async_thread import async_thread

        logs = LogStream(partial(self._tell, batch.id))
        carrier = AsyncBatchCarrier(batch, pack, logs.add, board)

        def done(report: BatchReport) -> None:
            part_reporter.forget(carrier)
            logs.end()
            report.logs = [*logs.left(), *report.logs]
            with contextlib.suppress(OSError):  # the flow's process hung up
                self._report(report)
            leave()
            with self._lock:
                del self._cancels[batch.id]

        part_reporter.ask(carrier, self._report)
        with self._lock:  # it may end before it is known how to cancel it
            self._cancels[batch.id] = async_thread().begin(carrier, done, context_of_world())


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
