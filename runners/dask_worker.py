"""What runs on a Dask worker: one Dask task carries out one batch.

A batch comes as one bytes object. What it leaves on the worker is one :class:`Kept`: the values,
which other batches take from worker to worker, and the report if that was too large to be sent at
once. Reports and log lines are sent as Dask events under the id of the flow's client, which needs
no question and no answer, and which the scheduler forgets with the client.

Dask runs a batch again when its values are lost and still needed. It then covers exactly the calls
that the first run covered: a run that stops early for its time budget says so to the scheduler
first, and a run asks there how far the first one went.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import socket
import sys
import threading
import time
from collections.abc import Collection, MutableSequence, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dataflow import __version__
from dataflow.errors import ResultMissing, VersionMismatch
from dataflow.model.batches import Batch, BatchReport, Column, Failure, LogLine, MapBody
from dataflow.worker.carry_batch import carrier_of
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import PackedColumn, pack
from dataflow.worker.failures import revive
from runners.messages import unloadable_report

EVENT_BYTES = 4_000
INLINE_BYTES = 64_000
_EXACT_BYTES = 1_000  # a value
_LOG_BYTES = 16_000
_LOG_LINES = 50
_LOG_SECONDS = 0.2
_FETCH_SECONDS = 5.0
_ASK_SECONDS = 60.0
_MOST_CONSTANTS = 16
_MOST_TASKS = 1000
_UNLIMITED_SECONDS = 1e9
BOARD_BYTES = 24


class FromBatch(NamedTuple):
    """An input column that another batch left on a worker: the ``number``-th dependency."""

    number: int


class FromConstant(NamedTuple):
    """An input column (or a task) that each worker fetches once."""

    key: Any


class LeftColumn:
    """Stands in a report for values that were left on the worker.

    Attributes:
        sizes: bytes of each value, where each can be fetched alone; empty: they are all small.
        missing: positions that have no value, because their calls failed.
    """

    def __init__(self, column: PackedColumn) -> None:
        self.count = column.count
        self.nbytes = column.nbytes
        self.sizes = [part.nbytes for part in column.parts] if column.exact else []
        self.missing: frozenset[int] = frozenset()

    def load(self, position: int) -> Any:
        """Not here."""
        raise ResultMissing("This value is on a Dask worker.")

    def load_all(self) -> list[Any]:
        """Not here."""
        raise ResultMissing("These values are on a Dask worker.")


@dataclass(slots=True)
class Message:
    """A batch on its way: all that a worker needs, in plain bytes.

    Attributes:
        versions: of Python and dataflow in the flow's process.
        topic: the id of the client that wants the report.
        digests, payloads: the tasks, as bytes or (large ones) as a constant to fetch.
        data: the pickled batch.
        calls: how many calls it has.
        stays: whether its values are left on the worker, whatever their size.
        may_stop: whether its time budget may end it before its last call.
        boards: the folder of the boards, for workers of the flow's own machine.
    """

    versions: tuple[str, ...]
    topic: str
    batch_id: int
    digests: list[bytes]
    payloads: dict[bytes, bytes | FromConstant]
    data: bytes
    calls: int
    stays: bool
    may_stop: bool
    boards: str | None


class Kept:
    """What a batch leaves on its worker; opaque to Dask but for its size.

    Attributes:
        column: the values, if they stay here.
        report: the report as bytes, if it was not sent as an event.
        failed: by position in the column, calls that have no value.
    """

    __slots__ = ("column", "failed", "report")

    def __init__(
        self, column: PackedColumn | None, report: bytes | None, failed: dict[int, Failure]
    ) -> None:
        self.column = column
        self.report = report
        self.failed = failed

    def __sizeof__(self) -> int:
        values = 0 if self.column is None else self.column.nbytes
        return 200 + values + len(self.report or b"")

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self.column, self.report, self.failed)

    def open(self, missing: Collection[int] = ()) -> Column:
        """The values for one reader, who may change what it loads.

        What is not ``missing`` is refused if its call failed: it did not when it ran first.
        """
        assert self.column is not None
        column = PackedColumn(self.column.parts, self.column.count, self.column.exact)
        unexpected = {at: failure for at, failure in self.failed.items() if at not in missing}
        return _HoledColumn(column, unexpected) if unexpected else column


class _HoledColumn:
    """A column with calls that failed when they ran again."""

    def __init__(self, column: PackedColumn, failed: dict[int, Failure]) -> None:
        self.column = column
        self.failed = failed
        self.count = column.count
        self.nbytes = column.nbytes

    def load(self, position: int) -> Any:
        failure = self.failed.get(position)
        if failure is None:
            return self.column.load(position)
        raise ResultMissing(
            "A value was lost with its Dask worker, and could not be made again: "
            f"{failure.type}: {failure.message}"
        ) from revive(failure)

    def load_all(self) -> list[Any]:
        return [self.load(position) for position in range(self.count)]


# --- Dask's tasks ---------------------------------------------------------------------------------


def run_batch(data: bytes, kept: Sequence[Kept]) -> Kept:
    """Carry out a batch; ``kept`` is what the batches that it depends on have left."""
    from distributed import get_worker

    worker = get_worker()
    message: Message = pickle.loads(data)
    board = _board(message)
    place = (message.topic, message.batch_id)
    _running[place] = threading.get_ident()
    try:
        return _carry_out(worker, message, kept, board)
    finally:
        _running.pop(place, None)
        board[2] = 0


class Interrupted(BaseException):
    """Raised in a batch that was cancelled, at its next line of Python."""


_running: dict[tuple[str, int], int] = {}


def interrupt(topic: str, batch_ids: Collection[int]) -> None:
    """End batches that this worker is at (sent to all workers)."""
    for batch_id in batch_ids:
        thread = _running.pop((topic, batch_id), None)
        if thread is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(Interrupted)
            )


def report_of(kept: Kept) -> bytes:
    """The report that a batch left because it was too large for an event."""
    assert kept.report is not None
    return kept.report


def part_of(kept: Kept, start: int, stop: int, missing: Collection[int]) -> PackedColumn:
    """Some values out of many."""
    column = kept.open(missing)
    if isinstance(column, PackedColumn) and column.exact:
        return PackedColumn(column.parts[start:stop], stop - start, exact=True)
    return pack([column.load(position) for position in range(start, stop)], exact=False)


def hold(data: bytes) -> bytes:
    """Keep a constant on some worker, from where the others fetch it."""
    return data


def is_held(data: bytes) -> bool:
    """That a constant has been put on some worker."""
    return bool(data)


# --- carrying out ---------------------------------------------------------------------------------


def _carry_out(
    worker: Any, message: Message, kept: Sequence[Kept], board: MutableSequence[int]
) -> Kept:
    try:
        _check_versions(message)
        batch = _load_batch(worker, message, kept)
        if message.may_stop and message.stays:
            _repeat_first_run(worker, message, batch)
    except _ConstantMissing:
        raise
    except Exception as error:
        return _deliver(worker, message, unloadable_report(message.batch_id, message.calls, error))
    packer = _Packer(message.stays)
    logs = _LogStream(worker, message)
    carrier = carrier_of(batch, packer.pack, logs.add, board)
    with logs:
        report = carrier.carry_out()
    report.logs = [*logs.left(), *report.logs]
    if message.may_stop and message.stays and len(report.states) < message.calls:
        _set_reached(worker, message, len(report.states))
    failed = _failed(carrier, report)
    if isinstance(report.values, LeftColumn):
        report.values.missing = frozenset(failed)
    return _deliver(worker, message, report, packer.column, failed)


def versions_here() -> tuple[str, ...]:
    """What has to be the same for a batch to be understood."""
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}", f"dataflow {__version__}"


def _check_versions(message: Message) -> None:
    """Refuse batches of another version (a worker can come after all others were checked)."""
    here = versions_here()
    if message.versions != here:
        raise VersionMismatch(
            f"The Dask worker at {socket.gethostname()} has {', '.join(here)}, "
            f"but the flow's process has {', '.join(message.versions)}.",
            hint="Install the same versions in both places.",
        )


def _deliver(
    worker: Any,
    message: Message,
    report: BatchReport,
    column: PackedColumn | None = None,
    failed: dict[int, Failure] | None = None,
) -> Kept:
    data = pickle.dumps(report, 5)
    is_small = len(data) <= EVENT_BYTES
    kind = "report" if is_small else "beside" if column is not None else "alone"
    _tell(worker, message, kind, data if is_small else b"")
    return Kept(column, None if is_small else data, failed or {})


def _tell(worker: Any, message: Message, kind: str, data: bytes) -> None:
    event = {"dataflow": kind, "batch": message.batch_id, "data": data}
    worker.log_event(message.topic, event)


class _Packer:
    """Makes columns: of small values for the report, of others to stay here."""

    def __init__(self, stays: bool) -> None:
        self.stays = stays
        self.column: PackedColumn | None = None

    def pack(self, values: list[Any], exact: bool) -> Column:
        column = pack(values, exact)
        if not self.stays and column.nbytes <= INLINE_BYTES:
            return column
        if len(values) > 1 and not exact and column.nbytes > _EXACT_BYTES * len(values):
            column = pack(values, exact=True)
        self.column = column
        return LeftColumn(column)


def _failed(carrier: BatchCarrier, report: BatchReport) -> dict[int, Failure]:
    """The failures by position in the column of values, which may have fewer than all calls."""
    if not report.failures:
        return {}
    positions = carrier._kept_positions()
    if positions is None:
        return report.failures
    return {
        at: report.failures[position]
        for at, position in enumerate(positions)
        if position in report.failures
    }


# --- the same range again -------------------------------------------------------------------------


def _place(message: Message) -> list[str]:
    return ["dataflow", message.topic, str(message.batch_id)]


def _repeat_first_run(worker: Any, message: Message, batch: Batch) -> None:
    """If this batch ran before and stopped early, let it stop at the same call, and at no other."""
    reached = _ask(worker, worker.scheduler.get_metadata, keys=_place(message), default=None)
    if reached is None:
        return
    batch.budget_seconds = _UNLIMITED_SECONDS
    body = batch.body
    if isinstance(body, MapBody):
        elements = reached // len(body.stages)
        batch.body = replace(body, indices=body.indices[:elements])
        return
    batch.body = replace(
        body,
        tasks=body.tasks[:reached],
        nodes=body.nodes[:reached],
        numbers=body.numbers[:reached],
        arguments=body.arguments[:reached],
        links=body.links[:reached],
    )


def _set_reached(worker: Any, message: Message, reached: int) -> None:
    _ask(worker, worker.scheduler.set_metadata, keys=_place(message), value=reached)


def _ask(worker: Any, question: Any, **arguments: Any) -> Any:
    from distributed.utils import sync

    return sync(worker.loop, question, callback_timeout=_ASK_SECONDS, **arguments)


# --- what a batch needs ---------------------------------------------------------------------------

_tasks: dict[bytes, Any] = {}
_constants: dict[Any, Column] = {}
_constants_lock = threading.Lock()


class _ConstantMissing(Exception):
    """A constant is on no worker any more."""


class _SharedColumn:
    """A constant: loaded once in a process, and the same objects for every batch."""

    def __init__(self, values: list[Any], nbytes: int) -> None:
        self.values = values
        self.nbytes = nbytes
        self.count = len(values)

    def load(self, position: int) -> Any:
        return self.values[position]

    def load_all(self) -> list[Any]:
        return self.values


def _load_batch(worker: Any, message: Message, kept: Sequence[Kept]) -> Batch:
    tasks = {digest: _task(worker, digest, data) for digest, data in message.payloads.items()}
    batch: Batch = pickle.loads(message.data)
    batch.tasks = [tasks[digest] for digest in message.digests]
    batch.inputs = [_input(worker, column, kept) for column in batch.inputs]
    return batch


def _task(worker: Any, digest: bytes, payload: bytes | FromConstant) -> Any:
    task = _tasks.get(digest)
    if task is None:
        data = _fetch(worker, payload.key) if isinstance(payload, FromConstant) else payload
        if len(_tasks) >= _MOST_TASKS:
            _tasks.clear()
        task = _tasks[digest] = pickle.loads(data)
    return task


def _input(worker: Any, column: Any, kept: Sequence[Kept]) -> Column:
    if isinstance(column, FromBatch):
        return kept[column.number].open()
    if isinstance(column, FromConstant):
        return _constant(worker, column.key)
    found: Column = column
    return found


def _constant(worker: Any, key: Any) -> Column:
    with _constants_lock:
        column = _constants.pop(key, None)
        if column is None:
            loaded: PackedColumn = pickle.loads(_fetch(worker, key))
            column = _SharedColumn(loaded.load_all(), loaded.nbytes)
        _constants[key] = column
        while len(_constants) > _MOST_CONSTANTS:
            del _constants[next(iter(_constants))]
        return column


def _fetch(worker: Any, key: Any) -> bytes:
    """A constant, from whichever worker has it."""
    deadline = time.monotonic() + _FETCH_SECONDS
    while True:
        answer = _ask(worker, worker.scheduler.gather, keys=[key])
        if answer["status"] == "OK":
            data: bytes = answer["data"][key]
            return data
        if time.monotonic() > deadline:
            raise _ConstantMissing(key)
        time.sleep(0.05)


# --- what a batch tells while it runs -------------------------------------------------------------


class _LogStream:
    """Log lines of a batch that takes its time: sent while it runs, or left for the report."""

    def __init__(self, worker: Any, message: Message) -> None:
        self._worker = worker
        self._message = message
        self._lines: list[LogLine] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def add(self, line: LogLine) -> None:
        """Take a line."""
        self._lines.append(line)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, daemon=True)
                    self._thread.start()

    def left(self) -> list[LogLine]:
        """The lines that were not sent."""
        return self._lines

    def _run(self) -> None:
        while not self._ended.wait(_LOG_SECONDS):
            self._send()

    def _send(self) -> None:
        while self._lines:
            some = self._lines[:_LOG_LINES]
            data = pickle.dumps(some, 5)
            if len(data) > _LOG_BYTES:
                return
            del self._lines[: len(some)]
            _tell(self._worker, self._message, "logs", data)


# --- what a worker was at when it died ------------------------------------------------------------

_boards = threading.local()


def _board(message: Message) -> MutableSequence[int]:
    """Deadline, position and batch of the call under way, where the flow's machine can see it."""
    if message.boards is None:
        return [0, 0, 0]
    board: Any = getattr(_boards, "board", None)
    if board is None or _boards.folder != message.boards:
        board = _boards.board = _open_board(message.boards)
        _boards.folder = message.boards
    board[1] = 0
    board[2] = message.batch_id
    found: MutableSequence[int] = board
    return found


def _open_board(folder: str) -> Any:
    path = f"{folder}/{os.getpid()}-{threading.get_ident()}"
    with open(path, "w+b") as file:  # noqa: PTH123 - once a thread
        file.truncate(BOARD_BYTES)
        return memoryview(mmap.mmap(file.fileno(), BOARD_BYTES)).cast("q")
