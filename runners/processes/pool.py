"""The processes of a pool, and the thread that listens to them.

Workers are forked from a zygote (``zygote``) and speak over socket pairs. A worker that
dies is replaced, and what it had is reported lost, with the call that it was at, which it keeps
writing down in memory shared with us. A call that does not end at its time limit is ended with its
worker.

Values of a megabyte and more are left in files (``value_files``): the flow's process only
passes their names on.
"""

from __future__ import annotations

import atexit
import contextlib
import mmap
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataflow.errors import RunnerUnavailable
from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch, Column, seconds_of
from dataflow.worker.board import (
    BATCH,
    BOARD_BYTES,
    DEADLINE,
    STEP_BATCH,
    culprit,
    position_of,
)
from dataflow.worker.columns import PackedColumn
from dataflow.worker.file_columns import FileColumn
from dataflow.worker.outcomes import failed_report
from runners.exit_status import exit_text
from runners.line import Line, LineWaiter
from runners.messages import dump_batch, dump_task, load_report
from runners.processes.value_files import ValueFiles
from runners.processes.value_folders import make_folders
from runners.processes.worker import Order
from runners.processes.zygote import ANSWER, DIED, FORKED

_DEPTH = 2
_SHARE_BYTES = 64_000
_GRACE_SECONDS = 0.5
_CANCEL_SECONDS = 1.0
_WATCH_SECONDS = 0.1
_IDLE_SECONDS = 60.0
_SPARE_SECONDS = 2.0
_ZYGOTE = (
    "import sys; sys.path[:] = {path!r}; sys.argv[:] = {argv!r}; "
    "from runners.processes.zygote import main; main({fd}, {folders!r})"
)


@dataclass(eq=False)
class _Worker:
    """A worker process and what it has been given."""

    line: Line
    board: memoryview
    pid: int = 0
    batches: dict[int, Batch] = field(default_factory=dict)
    tasks: set[bytes] = field(default_factory=set)
    timed_out: bool = False
    is_late: bool = False
    is_unwanted: bool = False
    cancelled: dict[int, float] = field(default_factory=dict)
    """Its ``async`` batches that should end, and until when they may."""

    def load(self, is_concurrent: bool) -> tuple[int, float]:
        """How many batches it has of those that are concurrent, or of the others; and seconds."""
        if self.is_late and not is_concurrent:
            return _DEPTH, 0.0
        ahead = [each for each in self.batches.values() if each.is_concurrent == is_concurrent]
        return len(ahead), seconds_of(ahead)


class ProcessPool:
    """Worker processes and what they have been given.

    Args:
        size: how many processes.
        listener: who is told what comes back.
        memory_limit: bytes of values in shared memory at most; None: half of the memory.
    """

    def __init__(
        self, size: int, listener: RunnerListener, memory_limit: int | None = None
    ) -> None:
        self.pid = os.getpid()
        self.size = size
        self.listener = listener
        self.closed = False
        self.folders = make_folders(memory_limit)
        self.lock = threading.RLock()
        self.workers: list[_Worker] = []
        self.unforked: deque[_Worker] = deque()
        self.waiting: deque[Batch] = deque()
        self.shared: dict[int, tuple[weakref.ref[PackedColumn], FileColumn]] = {}
        self.files = 0
        self.limited = 0
        self.moved_before = 0  # by workers that are gone
        self.idle_since: float | None = time.monotonic()
        self.waiter = LineWaiter()
        self.values = ValueFiles(self.folders, on_first_spare=self.waiter.wake)
        self._start_zygote()
        for _ in range(size):
            self._fork()
        self.thread = threading.Thread(target=self._serve, name="dataflow pool", daemon=True)
        self.thread.start()
        atexit.register(self.close)  # before the folder's removal: it was registered earlier

    # --- processes -------------------------------------------------------------------------------

    def _start_zygote(self) -> None:
        ours, theirs = socket.socketpair()
        code = _ZYGOTE.format(
            path=[p or str(Path.cwd()) for p in sys.path],
            argv=sys.argv,
            fd=theirs.fileno(),
            folders=tuple(self.folders),
        )
        self.zygote = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=False,
        )
        theirs.close()
        self.control = ours
        self.answers = bytearray()
        self.waiter.add(ours, self)

    def _fork(self) -> None:
        """Ask for another worker; batches can be sent to it at once, they wait in its socket."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with tempfile.TemporaryFile(dir=self.folders.memory) as file:
            file.truncate(BOARD_BYTES)
            board = memoryview(mmap.mmap(file.fileno(), BOARD_BYTES)).cast("q")
            socket.send_fds(self.control, [FORKED], [theirs.fileno(), file.fileno()])
        theirs.close()
        worker = _Worker(Line(ours), board)
        self.workers.append(worker)
        self.unforked.append(worker)
        self.waiter.add(ours, worker)

    @property
    def moved(self) -> int:
        """Bytes that went to workers and came from them."""
        return self.moved_before + sum(worker.line.moved for worker in self.workers)

    def worker_pids(self) -> list[int]:
        """The process ids of the workers that are known to run."""
        with self.lock:
            return [worker.pid for worker in self.workers if worker.pid]

    def close(self) -> None:
        """End all processes; values that are still referred to keep their files until we exit."""
        if self.pid != os.getpid():
            return
        with self.lock:
            if self.closed:
                return
            self.closed = True
        self.waiter.wake()
        if threading.current_thread() is not self.thread:
            self.thread.join(5)
        self._end_processes()

    def _end_processes(self) -> None:
        self.control.close()
        for worker in self.workers:
            worker.line.close()
        try:
            self.zygote.wait(2)
        except subprocess.TimeoutExpired:
            self.zygote.kill()
            self.zygote.wait()
        self.values.arrays.inherit()
        self.values.spare.close()
        self.folders.remove_empty()

    # --- sending ---------------------------------------------------------------------------------

    def submit(self, batch: Batch) -> bool:
        """Take a batch; False if the pool has ended."""
        with self.lock:
            if self.closed:
                return False
            self.idle_since = None
            if batch.is_concurrent:  # there is always room for it
                self.waiting.appendleft(batch)
            else:
                self.waiting.append(batch)
            self._assign()
            return True

    def _assign(self) -> None:
        """Give waiting batches to the workers that have least to do."""
        while self.waiting and self.workers:
            batch = self.waiting[0]
            is_concurrent = batch.is_concurrent
            worker = min(self.workers, key=lambda worker: worker.load(is_concurrent))
            if not is_concurrent and worker.load(is_concurrent)[0] >= _DEPTH:
                return
            self.waiting.popleft()
            try:
                message = self._encode(batch, worker)
            except Exception as error:
                self.listener.reported(failed_report(batch, error))
                continue
            worker.batches[batch.id] = batch
            if _has_limit(batch):
                self.limited += 1
                self.waiter.wake()  # it may sleep, and has to watch the time now
            self._send(worker, message)

    def _encode(self, batch: Batch, worker: _Worker) -> bytes:
        payloads, digests = {}, []
        for task in batch.tasks:
            digest, payload = dump_task(task)
            digests.append(digest)
            if digest not in worker.tasks:
                payloads[digest] = payload
        inputs = [self._input(column) for column in batch.inputs]
        data = dump_batch(replace(batch, tasks=[], inputs=inputs), batch.tasks)
        worker.tasks.update(payloads)
        order = Order(batch.id, payloads, digests, data, batch.body.calls, batch.is_concurrent)
        return pickle.dumps(order, 5)

    def _input(self, column: Column) -> Column:
        """A column as it is sent: what is large goes into shared memory, once."""
        if not isinstance(column, PackedColumn) or column.nbytes < _SHARE_BYTES:
            return column
        known = self.shared.get(id(column))
        if known is not None and known[0]() is column:
            return known[1]
        self.files += 1
        file = self.values.write(column, f"shared-{self.files}", column.shared)
        key = id(column)
        self.shared[key] = (weakref.ref(column, lambda _: self._forget(key)), file)
        return file

    def _forget(self, key: int) -> None:
        _, file = self.shared.pop(key)
        for path in file.paths:
            self.values.spare.keep(path)

    def _send(self, worker: _Worker, message: bytes) -> None:
        if not worker.line.send(message):
            self.waiter.wake()

    def cancel(self, batch_ids: set[int]) -> None:
        """Drop these batches; workers that are at them are ended, but for ``async`` calls."""
        with self.lock:
            self.waiting = deque(batch for batch in self.waiting if batch.id not in batch_ids)
            for worker in self.workers:
                ended = [worker.batches[each] for each in batch_ids & worker.batches.keys()]
                if all(batch.is_concurrent for batch in ended):
                    for batch in ended:
                        worker.cancelled[batch.id] = time.monotonic() + _CANCEL_SECONDS
                        self._send(worker, pickle.dumps(Order(batch.id, {}, [], None, 0, True), 5))
                        self.waiter.wake()
                else:
                    _kill(worker)

    # --- receiving -------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while not self.closed:
                self._turn()
        except Exception as error:
            self._fail(error)
        finally:
            self.waiter.close()

    def _fail(self, error: Exception) -> None:
        """Say that the pool cannot go on, and end it: another one takes its place."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
        problem = RunnerUnavailable(f"The process pool failed: {error!r}")
        problem.__cause__ = error
        self.listener.broken(problem)
        self._end_processes()

    def _turn(self) -> None:
        with self.lock:
            for worker in self.workers:
                self.waiter.watch(worker.line)
            watches = self.limited or any(worker.cancelled for worker in self.workers)
            timeout = _WATCH_SECONDS if watches else _IDLE_SECONDS
            if self.values.spare.has_any:
                timeout = min(timeout, _SPARE_SECONDS)
        for owner, events in self.waiter.wait(timeout):
            if owner is self:
                self._hear_zygote()
            else:
                self._hear(owner, events)
        if self.limited:
            self._end_overdue()
        if watches:
            self._end_stuck()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        """Nobody needs processes that have had nothing to do for a minute."""
        with self.lock:
            if self.waiting or any(worker.batches for worker in self.workers):
                self.idle_since = None
                return
            now = time.monotonic()
            self.idle_since = self.idle_since or now
            if self.values.spare.has_any and now - self.idle_since >= _SPARE_SECONDS:
                self.values.spare.clear()
            if now - self.idle_since < _IDLE_SECONDS:
                return
            self.closed = True
        self._end_processes()

    def _hear(self, worker: _Worker, events: int) -> None:
        if worker not in self.workers:  # lost a moment ago, by what the zygote said
            return
        if events & selectors.EVENT_WRITE:
            with self.lock:
                worker.line.flush()
        if events & selectors.EVENT_READ:
            messages = worker.line.receive()
            if messages is None:
                self._lose(worker)
            else:
                self._take_messages(worker, messages)

    def _take_messages(self, worker: _Worker, messages: list[Any]) -> None:
        for kind, *content in messages:
            if kind == "report":
                self._take_report(worker, content[0])
            elif kind == "back":
                self._take_back(worker, content[0])
            else:
                self.listener.logged(*content)

    def _take_report(self, worker: _Worker, data: bytes) -> None:
        report = load_report(data)
        if isinstance(report.values, FileColumn):
            for path in report.values.paths:
                weakref.finalize(report.values, self.values.spare.keep, path)
        if report.final:
            with self.lock:
                batch = worker.batches.pop(report.batch_id, None)
                if batch is not None:
                    self.limited -= _has_limit(batch)
                    worker.is_late = worker.is_late and batch.is_concurrent
                self._assign()
        self.listener.reported(report)

    def _take_back(self, worker: _Worker, batch_id: int) -> None:
        """A worker takes longer than was thought: what waited for it goes to another."""
        with self.lock:
            batch = worker.batches.pop(batch_id, None)
            if batch is not None:
                # a report ends this; that of the batch that was late may have come already
                worker.is_late = any(not each.is_concurrent for each in worker.batches.values())
                self.limited -= _has_limit(batch)
                self.waiting.appendleft(batch)
                self._assign()

    def _hear_zygote(self) -> None:
        data = self.control.recv(4096)
        if not data:
            raise RuntimeError(f"the process that forks workers ended ({self.zygote.poll()})")
        self.answers += data
        while len(self.answers) >= ANSWER.size:
            kind, pid, status = ANSWER.unpack_from(self.answers)
            del self.answers[: ANSWER.size]
            if kind == FORKED:
                with self.lock:
                    worker = self.unforked.popleft()
                    worker.pid = pid
                    if worker.is_unwanted:
                        _kill(worker)
            elif kind == DIED:
                self._died(pid, status)

    def _died(self, pid: int, status: int) -> None:
        for worker in list(self.workers):
            if worker.pid == pid:
                self._take_messages(worker, worker.line.drain())
                self._lose(worker, exit_text(status))

    def _lose(self, worker: _Worker, cause: str | None = None) -> None:
        """A worker is gone: say what it had, start another."""
        if cause is None:  # its socket closed first: the zygote tells why it ended, a moment later
            self.waiter.remove(worker.line.connection)
            return
        with self.lock:
            if worker not in self.workers:
                return
            self.workers.remove(worker)
            self.waiter.remove(worker.line.connection)
            self.moved_before += worker.line.moved
            worker.line.close()
            self.values.arrays.inherit(worker.pid)
            self.limited -= sum(map(_has_limit, worker.batches.values()))
            self._fork()
            self._assign()
        if not worker.is_unwanted:  # else we ended it ourselves
            text = f"Worker process {worker.pid} died: {cause}"
            self.listener.died(list(worker.batches), lambda tell: tell(text))
        for batch in worker.batches.values():
            position = culprit(worker.board, batch)
            is_late = worker.timed_out and worker.board[BATCH] == batch.id
            if worker.timed_out:  # we ended it, for the sake of one call
                position = position_of(worker.board) if is_late else -1
            self.listener.lost(batch.id, position, cause, is_late)

    def _end_overdue(self) -> None:
        """End workers whose call did not end at its time limit, because it never leaves C."""
        now = time.monotonic_ns()
        for worker in self.workers:
            deadline = worker.board[DEADLINE]
            if 0 < deadline < now - int(_GRACE_SECONDS * 1e9) and worker.batches:
                worker.timed_out = True
                _kill(worker)

    def _end_stuck(self) -> None:
        """End workers whose event loop does not get away from a call that was cancelled."""
        now = time.monotonic()
        with self.lock:
            for worker in self.workers:
                for batch_id, until in list(worker.cancelled.items()):
                    if batch_id not in worker.batches:
                        del worker.cancelled[batch_id]
                    elif now > until and _is_at(worker, batch_id):
                        _kill(worker)


def _is_at(worker: _Worker, batch_id: int) -> bool:
    """Whether a worker does nothing but what was cancelled, or cannot do anything else."""
    return worker.batches.keys() <= worker.cancelled.keys() or worker.board[STEP_BATCH] == batch_id


def _has_limit(batch: Batch) -> bool:
    return any(task.timeout_seconds is not None for task in batch.tasks)


def _kill(worker: _Worker) -> None:
    worker.is_unwanted = True  # if it has not been forked yet
    if worker.pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
