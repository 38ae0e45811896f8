"""One connection to a Dask cluster: batches go out, reports come in, values stay there.

Two threads: one opens the cluster and then sends, all batches that wait in one message; the other
takes what came back. Everything is keyed by the id of the batch.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, groupby
from typing import Any

from dataflow.errors import DataflowError, ResultMissing, RunnerUnavailable
from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch, BatchReport, Column, TaskLike
from dataflow.worker.carry_batch import failed_report
from dataflow.worker.columns import ObjectColumn, PackedColumn, pack
from runners import dask_worker
from runners.dask_boards import find_position, kill_workers
from runners.dask_columns import RemoteColumn
from runners.dask_worker import FromBatch, FromConstant, Kept, LeftColumn, Message
from runners.messages import dump_batch, dump_task

_CONSTANT_BYTES = 64_000
_LARGE_MESSAGE_BYTES = 5_000_000
_COPIES = 2
_LOOK_SECONDS = 1.0
_IDLE_SECONDS = 300.0
_STOP = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A cluster that is ready.

    Attributes:
        client: connected to its scheduler; ours.
        boards: the folder in which its workers, on this machine, write down what they are at.
        close: ends the cluster, if it is ours.
        ends_idle: whether it should end when it has not been used for a while.
        grows: whether workers may come that are not there yet.
    """

    client: Any
    boards: str | None = None
    close: Callable[[], None] = lambda: None
    ends_idle: bool = False
    grows: bool = False


@dataclass(slots=True)
class Flight:
    """A batch that was given to Dask; ``future`` is None until it has been sent."""

    batch: Batch
    future: Any = None


class DaskSession:
    """A cluster in use.

    Args:
        open_connection: starts or finds the cluster; runs in a thread.
        listener: who is told what happens.
        resized: called with the number of threads whenever it changes.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        listener: RunnerListener,
        resized: Callable[[int], None],
    ) -> None:
        self.listener = listener
        self.client: Any = None
        self.closed = False
        self.bytes_through_flow = 0
        self._open_connection = open_connection
        self._close_cluster: Callable[[], None] = _nothing
        self._ends_idle = self._grows = False
        self._resized = resized
        self._boards: str | None = None
        self._lock = threading.Lock()
        self._flights: dict[int, Flight] = {}
        self._outgoing: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._constants: dict[int, tuple[weakref.ref[Any], FromConstant, Any]] = {}
        self._task_constants: dict[bytes, tuple[FromConstant, Any]] = {}
        self._numbers = count(1)
        self._threads = 0
        self._cancelled: set[int] = set()
        self._remote: weakref.WeakSet[RemoteColumn] = weakref.WeakSet()
        self._busy_at = time.monotonic()
        self._ready = threading.Event()
        self._sender = threading.Thread(target=self._send_all, name="dataflow dask", daemon=True)
        self._receiver = threading.Thread(
            target=self._receive_all, name="dataflow dask reports", daemon=True
        )
        self._sender.start()
        self._receiver.start()

    # --- called by the runner --------------------------------------------------------------------

    def submit(self, batch: Batch) -> bool:
        """Take a batch, to be sent when the cluster is there; False: the session has ended."""
        with self._lock:
            if not self.closed:
                self._outgoing.put(batch)
            return not self.closed

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """Withdraw batches. A worker that is at one is ended if it is ours, else interrupted."""
        ids = list(batch_ids)
        with self._lock:
            self._cancelled.update(ids)
            flights = [self._flights.pop(batch_id) for batch_id in ids if batch_id in self._flights]
        futures = [flight.future for flight in flights if flight.future is not None]
        if futures and self.client is not None:
            with contextlib.suppress(Exception):
                self.client.cancel(futures, force=True)
                if self._boards is None:
                    self.client.run(dask_worker.interrupt, self.client.id, ids)
                else:
                    kill_workers(self._boards, set(ids))

    def close(self) -> None:
        """End the threads and the connection, and the cluster if it is ours."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        self._outgoing.put(_STOP)
        self._incoming.put(_STOP)
        current = threading.current_thread()
        if current is not self._sender:
            self._sender.join(70)
        if current is not self._receiver:
            self._receiver.join(10)
        self._end_connection()

    def _end_connection(self) -> None:
        self._ready.set()
        client, self.client = self.client, None
        if client is not None:
            with contextlib.suppress(Exception), _quiet_client():
                client.unsubscribe_topic(client.id)
                client.close(timeout=2)
        self._close_cluster()

    # --- values ----------------------------------------------------------------------------------

    def fetch(self, column: RemoteColumn) -> Column:
        """Bring a column to this process.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """
        kept: Kept = self._gather(column.future)
        found = kept.open(column.left.missing)
        self.bytes_through_flow += found.nbytes
        return found

    def fetch_part(self, column: RemoteColumn, start: int, stop: int) -> PackedColumn:
        """Bring some values of a column to this process.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """
        wanted = (column.future, start, stop, column.left.missing)
        part: PackedColumn = self._gather(self._run(dask_worker.part_of, "part", *wanted))
        self.bytes_through_flow += part.nbytes
        return part

    def _run(self, function: Any, name: str, *arguments: Any) -> Any:
        if self.client is None:
            raise ResultMissing("The Dask cluster that had a value was closed.")
        key = (f"{name}-{self.client.id}", next(self._numbers))
        return self.client.submit(function, *arguments, key=key, pure=False)

    def _gather(self, future: Any) -> Any:
        try:
            if self.client is None:
                raise ConnectionError("the cluster was closed")
            return self.client.gather(future)
        except DataflowError:
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and not _is_cancelled(error):
                raise
            raise ResultMissing(
                f"A value on the Dask cluster is gone ({type(error).__name__}: {error}).",
                hint="Values live as long as their cluster: ask for them before it is closed.",
            ) from error

    # --- opening ---------------------------------------------------------------------------------

    def _open(self) -> bool:
        try:
            connection = self._open_connection()
            self.client, self._boards = connection.client, connection.boards
            self._close_cluster = connection.close
            self._ends_idle, self._grows = connection.ends_idle, connection.grows
            self.client.subscribe_topic(self.client.id, self._event)
            self._count_threads()
        except Exception as error:
            self._break(error)
            return False
        self._ready.set()
        return True

    def _break(self, error: Exception) -> None:
        if not isinstance(error, DataflowError):
            problem = RunnerUnavailable(
                f"The Dask cluster cannot be used: {type(error).__name__}: {error}"
            )
            problem.__cause__ = error
            error = problem
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._flights.clear()
        self.listener.broken(error)
        self._incoming.put(_STOP)
        self._outgoing.put(_STOP)
        threading.Thread(target=self._end_connection, daemon=True).start()

    def _count_threads(self) -> None:
        """How large the cluster is now (its own events would tell, but to listen breaks it)."""
        if self.client is not None:
            self._threads = sum(self.client.nthreads().values())
            self._resized(self._threads)

    # --- sending ---------------------------------------------------------------------------------

    def _send_all(self) -> None:
        if not self._open():
            return
        while not self.closed:
            batches = self._take_waiting()
            if batches is None:
                return
            try:
                self._send(batches)
            except Exception as error:
                self._break(error)

    def _take_waiting(self) -> list[Batch] | None:
        """All batches that wait, at least one; None: no more will come."""
        batches: list[Batch] = []
        found = self._outgoing.get()
        while found is not _STOP:
            batches.append(found)
            try:
                found = self._outgoing.get_nowait()
            except queue.Empty:
                return batches
        return None

    def _send(self, batches: list[Batch]) -> None:
        encoded = []
        for batch in batches:
            if batch.id in self._cancelled:
                continue
            try:
                self._check_resources(batch)
                encoded.append((batch, *self._encode(batch)))
            except Exception as error:
                self.listener.reported(failed_report(batch, error))
        encoded.sort(key=lambda entry: _kind(entry[0]))
        for _, group in groupby(encoded, key=lambda entry: _kind(entry[0])):
            self._send_alike(list(group))

    def _send_alike(self, group: list[tuple[Batch, bytes, list[Any]]]) -> None:
        batches, messages, dependencies = map(list, zip(*group, strict=True))
        if sum(map(len, messages)) > _LARGE_MESSAGE_BYTES:
            warnings.filterwarnings("ignore", message="Sending large graph")
        with self._lock:
            for batch in batches:
                self._flights[batch.id] = Flight(batch)
            futures = self.client.map(
                dask_worker.run_batch,
                messages,
                dependencies,
                key=[_key(batch) for batch in batches],
                pure=False,
                priority=batches[0].priority,
                resources=batches[0].resources or None,
            )
            for batch, future in zip(batches, futures, strict=True):
                self._flights[batch.id].future = future
        for batch, future in zip(batches, futures, strict=True):
            self.client.loop.add_callback(self._watch, batch.id, future)

    async def _watch(self, batch_id: int, future: Any) -> None:
        """Wait for Dask to be done with a batch (callbacks of futures outlive their executor)."""
        while future.status in ("pending", "lost"):
            await future._state.wait()
        if future.status != "finished":
            self._incoming.put(lambda: self._failed(batch_id, future))

    def _check_resources(self, batch: Batch) -> None:
        """Refuse what no worker can ever give; Dask would wait for ever.

        Raises:
            RunnerUnavailable: no worker has what the batch needs.
        """
        if not batch.resources or not self._threads or self._grows:
            return
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        for worker in workers:
            has = worker["resources"]
            if all(has.get(name, 0) >= amount for name, amount in batch.resources.items()):
                return
        wanted = ", ".join(f"{name}: {amount:g}" for name, amount in batch.resources.items())
        raise RunnerUnavailable(
            f"No worker of the Dask cluster has what task {batch.tasks[0].name!r} needs "
            f"({wanted}).",
            hint='Start workers that have it, such as cluster_kwargs={"resources": {"GPU": 1}}.',
        )

    # --- encoding --------------------------------------------------------------------------------

    def _encode(self, batch: Batch) -> tuple[bytes, list[Any]]:
        digests, payloads = [], {}
        for task in batch.tasks:
            digest, payload = self._task_payload(task)
            digests.append(digest)
            payloads[digest] = payload
        dependencies: list[Any] = []
        inputs: list[Any] = [self._input(column, dependencies) for column in batch.inputs]
        message = Message(
            versions=dask_worker.versions_here(),
            topic=self.client.id,
            batch_id=batch.id,
            digests=digests,
            payloads=payloads,
            data=dump_batch(replace(batch, tasks=[], inputs=inputs), batch.tasks),
            calls=batch.body.calls,
            stays=batch.values_stay,
            may_stop=batch.body.calls > 1,
            boards=self._boards,
        )
        return pickle.dumps(message, 5), dependencies

    def _task_payload(self, task: TaskLike) -> tuple[bytes, bytes | FromConstant]:
        digest, payload = dump_task(task)
        if len(payload) < _CONSTANT_BYTES:
            return digest, payload
        known = self._task_constants.get(digest)
        if known is None or _is_gone(known[1]):
            known = self._task_constants[digest] = self._hold(payload)
        return digest, known[0]

    def _input(self, column: Any, dependencies: list[Any]) -> Any:
        """A column as it is sent: by reference if it is on the workers, or should be."""
        if isinstance(column, RemoteColumn) and column.session is self:
            dependencies.append(column.future)
            return FromBatch(len(dependencies) - 1)
        if not isinstance(column, (PackedColumn, ObjectColumn)):
            column = pack(column.load_all(), exact=True)
        if not isinstance(column, PackedColumn) or column.nbytes < _CONSTANT_BYTES:
            return column
        known = self._constants.get(id(column))
        if known is None or known[0]() is not column or _is_gone(known[2]):
            key = id(column)
            constant, future = self._hold(pickle.dumps(column, 5))
            reference = weakref.ref(column, lambda _: self._constants.pop(key, None))
            known = self._constants[key] = (reference, constant, future)
        return known[1]

    def _hold(self, data: bytes) -> tuple[FromConstant, Any]:
        """Put a constant on the cluster, before any batch that needs it is sent.

        A Dask task could be made again if it was lost, but it waits for a free thread; so this is
        one only while there are no workers, who then come because of it.
        """
        if self._threads:
            future = self.client.scatter(data, hash=False, broadcast=_COPIES)
        else:
            future = self._run(dask_worker.hold, "constant", data)
            self.client.gather(self._run(dask_worker.is_held, "held", future))
        return FromConstant(future.key), future

    # --- receiving (events in the client's own thread, the rest in ours) -------------------------

    def _event(self, event: Any) -> None:
        _, message = event
        kind = message.get("dataflow") if isinstance(message, dict) else None
        if kind is not None:
            batch_id, data = message["batch"], message["data"]
            self._incoming.put(lambda: self._heard(kind, batch_id, data))

    def _receive_all(self) -> None:
        looked = 0.0
        while True:
            try:
                step = self._incoming.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                step = _nothing
            if step is _STOP:
                return
            self._do(step)
            if self._end_if_idle():
                return
            if self._flights and time.monotonic() - looked > _LOOK_SECONDS:
                self._do(self._count_threads)
                looked = time.monotonic()

    def _end_if_idle(self) -> bool:
        """End a cluster of ours that nobody has used for a while and that holds nothing."""
        with self._lock:
            now = time.monotonic()
            if self._flights or self._remote or not self._outgoing.empty() or self.client is None:
                self._busy_at = now
            if self.closed or not self._ends_idle or now - self._busy_at < _IDLE_SECONDS:
                return False
            self.closed = True
        self._outgoing.put(_STOP)
        self._end_connection()
        return True

    def _do(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._break(error)

    def _flight(self, batch_id: int) -> Flight | None:
        with self._lock:  # a report can be here before the sender has noted the future
            return self._flights.get(batch_id)

    def _heard(self, kind: str, batch_id: int, data: bytes) -> None:
        flight = self._flight(batch_id)
        if flight is None:
            return
        if kind == "report":
            self._deliver(flight, pickle.loads(data))
        elif kind == "logs":
            self.listener.logged(batch_id, pickle.loads(data))
        else:
            threading.Thread(
                target=self._fetch_report, args=(flight, kind == "alone"), daemon=True
            ).start()

    def _fetch_report(self, flight: Flight, alone: bool) -> None:
        """Get a report that was too large for an event."""
        try:
            future = flight.future
            if not alone:
                future = self._run(dask_worker.report_of, "report", future)
            found = self._gather(future)
            report = pickle.loads(found.report if alone else found)
        except Exception as error:
            reason = error.__cause__ or error
            self._incoming.put(lambda: self._lost(flight, reason))
            return
        self._incoming.put(lambda: self._deliver(flight, report))

    def _deliver(self, flight: Flight, report: BatchReport) -> None:
        with self._lock:
            if self._flights.pop(report.batch_id, None) is None:
                return
        if isinstance(report.values, LeftColumn):
            report.values = RemoteColumn(self, flight.future, report.values)
            self._remote.add(report.values)
        elif report.values is not None:
            self.bytes_through_flow += report.values.nbytes
        self.listener.reported(report)

    def _failed(self, batch_id: int, future: Any) -> None:
        """Dask is done with a batch, and it did not go well."""
        flight = self._flight(batch_id)
        if flight is not None and flight.future is future:
            self._lost(flight, future.exception() if future.status == "error" else None)

    def _lost(self, flight: Flight, error: BaseException | None) -> None:
        """Dask gave a batch up."""
        if self.client is None or self.client.status != "running":
            self._break(RunnerUnavailable("The connection to the Dask scheduler was lost."))
            return
        batch = flight.batch
        with self._lock:
            if self._flights.pop(batch.id, None) is None:
                return
        if error is None or _is_loss(error):
            position = None
            if self._boards is not None and getattr(error, "task", None) == _key(batch):
                position = find_position(self._boards, batch)
            self.listener.lost(batch.id, position, _cause(error), False)
        else:
            problem = error if isinstance(error, Exception) else RuntimeError(repr(error))
            self.listener.reported(failed_report(batch, problem))


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Dask's client logs with a traceback that it is closed while it tries to reconnect."""
    logger = logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _nothing() -> None:
    """The time to look around has come."""


def _kind(batch: Batch) -> tuple[Any, ...]:
    return batch.priority, sorted(batch.resources.items())


def _key(batch: Batch) -> tuple[str, int]:
    """One prefix a task and one group a run, since the scheduler keeps prefixes for ever."""
    return f"{batch.tasks[0].name}-{batch.run.run_id}", batch.id


def _is_gone(future: Any) -> bool:
    return future.status in ("cancelled", "error", "lost")


def _is_cancelled(error: BaseException) -> bool:
    return type(error).__name__ in ("CancelledError", "FutureCancelledError")


def _is_loss(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"KilledWorker", "CancelledError", "_ConstantMissing", "CommClosedError"})


def _cause(error: BaseException | None) -> str:
    worker = getattr(error, "last_worker", None)
    if worker is not None:
        return f"Dask worker {worker.address} died"
    return "Dask gave it up" if error is None else f"Dask gave it up: {error}"
