"""One connection to a Dask cluster: batches go out, reports come in, values stay there.

Two threads: one opens the cluster and then sends, all batches that wait in one message; the other
takes what came back. Everything is keyed by the id of the batch.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import pickle
import queue
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any

from cluster.sizing import SPENT_TOPIC
from dataflow.clock import ticks_ns
from dataflow.errors import DataflowError, ResultMissing, RunnerUnavailable
from dataflow.execution.runner_protocol import Explain, Remaining, RunnerListener
from dataflow.model.batches import Batch, BatchReport, Column
from dataflow.worker.columns import PackedColumn
from dataflow.worker.outcomes import failed_report
from runners import dask_worker
from runners.dask_boards import find_position, kill_workers
from runners.dask_columns import RemoteColumn
from runners.dask_connection import Connection, connection_lost
from runners.dask_deaths import WorkerDeaths
from runners.dask_encoding import LARGE_BYTES, Encoder, allow_large_messages
from runners.dask_kept import Kept, LeftColumn
from runners.dask_lines import DaskLines
from runners.dask_logs import BEGUN, MEET
from runners.dask_messages import CodeReference
from runners.dask_patience import resources_of
from runners.dask_shipping import SharedFiles
from runners.dask_watch import WorkerWatch
from runners.messages import load_report

_RETRIES = 3
_LOOK_SECONDS = 1.0
_OWN_LOOKS = (0.1, 0.4, 1.0, 0.0)  # seconds after each
_LOOKS = (1.0, 0.0)
_IDLE_SECONDS = 300.0
_SETTLE_SECONDS = 5.0
_STOP = None


@dataclass(slots=True)
class Flight:
    """A batch that was given to Dask.

    Attributes:
        future: None until it has been sent.
        begun_on: the worker that was the last to say that it begins with this suspect.
        is_excused: whether it had not begun on the last worker that was lost with it, and that had
            other tasks as well.
    """

    batch: Batch
    code: CodeReference | None = None
    future: Any = None
    retries: int = 0
    begun_on: str | None = None
    is_excused: bool = False


class DaskSession:
    """A cluster in use.

    Args:
        open_connection: starts or finds the cluster; runs in a thread.
        listener: who is told what happens.
        resized: called with the number of threads whenever it may have changed.

    Attributes:
        closed: whether it has ended; a new one is needed then.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        listener: RunnerListener,
        resized: Callable[[int], None],
    ) -> None:
        self.listener = listener
        self.closed = False
        self._bytes_fetched = 0
        self._open_connection = open_connection
        self._resized = resized
        self._connection: Connection | None = None
        self._encoder: Encoder | None = None
        self._lines: DaskLines | None = None
        self._deaths: WorkerDeaths | None = None
        self._lock = threading.Lock()
        self._flights: dict[int, Flight] = {}
        self._cancelled: set[int] = set()
        self._remote: weakref.WeakSet[RemoteColumn] = weakref.WeakSet()
        self._outgoing: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._numbers = count(1)
        self._threads = 0
        self._has_counts = False
        self._busy_at = time.monotonic()
        self._remaining = Remaining()
        self._workers: WorkerWatch | None = None
        self._sender = threading.Thread(target=self._send_all, name="dataflow dask", daemon=True)
        self._receiver = threading.Thread(
            target=self._receive_all, name="dataflow dask reports", daemon=True
        )
        self._sender.start()
        self._receiver.start()

    # --- called by the runner --------------------------------------------------------------------

    def submit(self, batch: Batch) -> bool:
        """Take a batch, to be sent when the cluster is there; False: the session has ended."""
        if self._sent_over_line(batch):
            return True
        with self._lock:
            if not self.closed:
                self._outgoing.put(batch)
            return not self.closed

    def _sent_over_line(self, batch: Batch) -> bool:
        """Send a batch to a worker at once, where nothing but its message has to be sent for it."""
        connection, encoder, lines = self._connection, self._encoder, self._lines
        if connection is None or encoder is None or lines is None or connection.is_lost:
            return False
        if not lines.have_room(batch):
            return False
        with contextlib.suppress(Exception):  # whoever else sends it says what is wrong
            message = encoder.encode_plain(batch)
            return message is not None and lines.take(batch, message)
        return False

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """Withdraw batches. A worker that is at one is ended if it is ours, else interrupted."""
        ids = list(batch_ids)
        with self._lock:
            self._cancelled.update(ids)
            flights = [self._flights.pop(batch_id) for batch_id in ids if batch_id in self._flights]
        if self._lines is not None:
            self._lines.cancel(ids)
        futures = [flight.future for flight in flights if flight.future is not None]
        connection = self._connection
        if not futures or connection is None:
            return
        with contextlib.suppress(Exception):
            connection.client.cancel(futures, force=True)
            is_ours = connection.boards is not None  # then it costs nothing to look
            for pause in _OWN_LOOKS if is_ours else _LOOKS:  # one may just be about to begin
                self._end_calls(connection, ids)
                time.sleep(pause)

    def _end_calls(self, connection: Connection, batch_ids: list[int]) -> None:
        if connection.boards is None:
            connection.client.run(dask_worker.interrupt, connection.client.id, batch_ids)
        else:
            pids = kill_workers(connection.boards, set(batch_ids))
            if self._deaths is not None:
                self._deaths.were_ended(pids)

    def expect(self, remaining: Remaining) -> None:
        """Have whoever sizes the cluster told what remains."""
        if remaining != self._remaining:
            self._remaining = remaining
            self._incoming.put(lambda: self._tell_remaining(remaining))

    def _tell_remaining(self, remaining: Remaining) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.expect(remaining)

    def close(self) -> None:
        """End the threads and the connection, and the cluster if it is ours."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        self._stop_threads()
        for thread in (self._sender, self._receiver):
            if thread is not threading.current_thread():
                thread.join(10)
        self._end_connection()

    def _stop_threads(self) -> None:
        self._outgoing.put(_STOP)
        self._incoming.put(_STOP)

    def _end_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._lines is not None:
            self._lines.close()
        if self._deaths is not None and not connection.is_lost:
            with contextlib.suppress(Exception):  # what a run did not wait for is told all the same
                connection.client.sync(self._deaths.settle, callback_timeout=_SETTLE_SECONDS)
        with contextlib.suppress(Exception):
            connection.expect(Remaining())
        connection.note_use()
        with _quiet_client():
            with contextlib.suppress(Exception):
                connection.client.unsubscribe_topic(connection.client.id)
                connection.client.close(timeout=2)
            connection.close()

    @property
    def bytes_through_flow(self) -> int:
        """Bytes of values that came to this process."""
        return self._bytes_fetched + (self._lines.bytes_received if self._lines else 0)

    # --- values ----------------------------------------------------------------------------------

    def fetch(self, column: RemoteColumn) -> Column:
        """Bring a column to this process.

        Raises:
            ResultMissing: the cluster does not have it any more.
        """
        kept: Kept = self._gather(column.future)
        found = kept.open(column.left.missing)
        self._bytes_fetched += found.nbytes
        return found

    def fetch_part(self, column: RemoteColumn, start: int, stop: int) -> PackedColumn:
        """Bring some values of a column to this process.

        Raises:
            ResultMissing: the cluster does not have them any more.
        """
        wanted = (column.future, start, stop, column.left.missing, column.code)
        part: PackedColumn = self._gather(self._run(dask_worker.part_of, "part", *wanted))
        self._bytes_fetched += part.nbytes
        return part

    def _run(self, function: Any, name: str, *arguments: Any) -> Any:
        """Submit a Dask task of ours that is no batch; its future."""
        client = self._client()
        key = (f"{name}-{client.id}", next(self._numbers))
        return _outside(client.submit, function, *arguments, key=key, pure=False)

    def _client(self) -> Any:
        if self._connection is None:
            raise ResultMissing(
                "A value is gone: the Dask cluster that had it was closed.",
                hint="Ask for values before the runner is closed.",
            )
        return self._connection.client

    def _gather(self, future: Any) -> Any:
        for retries in range(_RETRIES + 1):
            try:
                return _outside(self._client().gather, future)
            except DataflowError:
                raise
            except BaseException as error:
                if not isinstance(error, Exception) and not _is_loss(error):
                    raise
                if retries == _RETRIES or not self._try_again(future, error):
                    raise ResultMissing(
                        f"A value on the Dask cluster is gone ({type(error).__name__}: {error}).",
                        hint="Values live as long as their cluster: "
                        "ask for them before it is closed.",
                    ) from error
        raise AssertionError

    def _try_again(self, future: Any, error: BaseException) -> bool:
        """Have Dask make lost values again, though a worker died while it did so before.

        Or though a constant was lost with them, which they are made from.
        """
        if future.status != "error":
            return False
        if type(error).__name__ == "ConstantMissing":
            assert self._encoder is not None
            can_be = bool(_outside(self._encoder.renew, *error.args))
        else:
            can_be = type(error).__name__ == "KilledWorker"
        if can_be:
            _outside(self._client().retry, [future])
        return can_be

    def _hear_spent(self, event: Any) -> None:
        """The cluster may not go on: what remains for it will not be done."""
        _, reason = event
        error = RunnerUnavailable(
            f"The Dask cluster may not go on: {reason}.",
            hint="What has ended is recorded. Raise max_worker_seconds (it is that of all clusters "
            "which a runner makes), start the cluster anew, and resume the run.",
        )
        self._incoming.put(lambda: self._break(error) if self._has_work else None)

    # --- opening and breaking --------------------------------------------------------------------

    def _open(self) -> bool:
        try:
            files = SharedFiles()  # as it is before workers can import anything
            connection = self._open_connection()
        except Exception as error:
            self._break(error)
            return False
        self._connection = connection
        if self.closed:  # meanwhile, and whoever closed it found no connection to end
            self._end_connection()
            return False
        client = connection.client
        self._encoder = Encoder(
            self,
            client,
            connection.boards,
            lambda: self._threads > 0,
            self._run,
            connection.needs,
            files if connection.boards is not None else None,
        )
        self._deaths = WorkerDeaths(client, self._died)
        if connection.lines is not None and connection.boards is not None:
            self._lines = DaskLines(
                connection.lines,
                connection.boards,
                lambda: self.listener,
                self._outgoing.put,
                self._deaths.meet_line,
                self._deaths.were_ended,
                self._lost_over_line,
            )
        self._workers = WorkerWatch(connection, self)
        client.subscribe_topic(client.id, self._event)
        client.subscribe_topic(SPENT_TOPIC, self._hear_spent)
        self._do(self._deaths.meet_all)  # before any of them can die of a batch
        self._do(lambda: self.resized(sum(client.nthreads().values())))
        self._incoming.put(lambda: self._tell_remaining(self._remaining))
        return not self.closed

    def _break(self, error: Exception) -> None:
        """The cluster cannot be used any more."""
        if self._connection is not None and self._connection.is_lost:
            error = connection_lost()
        elif not isinstance(error, DataflowError):
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
        if self._connection is not None:
            self._connection.note_use()  # before another one is opened
        self.listener.broken(error)
        self._stop_threads()
        threading.Thread(target=self._end_connection, daemon=True).start()

    def _do(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._break(error)

    async def _forget_counts(self) -> None:
        """Have the scheduler forget how far batches went whose values nobody has any more."""
        with contextlib.suppress(Exception):
            client = self._client()
            await client.set_metadata(["dataflow", client.id], {})

    # --- told by who watches the workers ---------------------------------------------------------

    def do_soon(self, step: Callable[[], None]) -> None:
        """Have the thread that receives do something."""
        self._incoming.put(step)

    def under_way(self) -> list[Batch]:
        """The batches that Dask has."""
        with self._lock:
            return [flight.batch for flight in self._flights.values()]

    def resized(self, threads: int) -> None:
        """So many threads are there."""
        self._threads = threads
        self._resized(threads)

    def gave_up(self, error: RunnerUnavailable) -> None:
        """There was no worker for too long; all that waits fails if there is none still."""
        if self._threads == 0 and self._has_work:
            self._break(error)

    def refused(self, batch: Batch, error: RunnerUnavailable) -> None:
        """No worker with what a batch needs has come: it fails."""
        with self._lock:
            flight = self._flights.pop(batch.id, None)
        if flight is not None:
            _outside(self._client().cancel, [flight.future], force=True)
            self.listener.reported(failed_report(batch, error))

    # --- sending ---------------------------------------------------------------------------------

    def _send_all(self) -> None:
        if not self._open():
            return
        while not self.closed and self._send_next():
            pass  # nothing of the last batches is referred to while it waits for the next

    def _send_next(self) -> bool:
        batches = self._take_waiting()
        if batches is None:
            return False
        begun = ticks_ns()
        self._do(lambda: self._send(batches))
        spent = ticks_ns() - begun
        for batch in batches:
            batch.dispatch_ns = spent // len(batches)
        return True

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
        assert self._encoder is not None and self._connection is not None
        if self._connection.is_lost:
            raise connection_lost()
        encoded = []
        for batch in batches:
            if batch.id in self._cancelled:
                continue
            try:
                self._connection.check_resources(batch)
                code = self._encoder.code_of(batch)
                message, dependencies = self._encoder.encode(batch, code)
                if dependencies or not (self._lines and self._lines.take(batch, message)):
                    encoded.append((batch, code, message, dependencies))
                elif batch.id in self._cancelled:  # meanwhile
                    self._lines.cancel([batch.id])
            except Exception as error:
                self.listener.reported(failed_report(batch, error))
        encoded.sort(key=lambda entry: _kind(entry[0]))
        for _, group in groupby(encoded, key=lambda entry: _kind(entry[0])):
            self._send_alike(list(group))

    def _send_alike(
        self, group: list[tuple[Batch, CodeReference | None, bytes, list[Any]]]
    ) -> None:
        """Send batches of one priority that need the same resources: one message for all."""
        client = self._client()
        with self._lock:
            group = [entry for entry in group if entry[0].id not in self._cancelled]
            if not group:
                return
            batches, codes, messages, dependencies = map(list, zip(*group, strict=True))
            if sum(map(len, messages)) > LARGE_BYTES:
                allow_large_messages()
            idle = self._lines.idle_workers() if self._lines and not any(dependencies) else None
            for batch, code in zip(batches, codes, strict=True):
                self._flights[batch.id] = Flight(batch, code)
            futures = client.map(
                dask_worker.run_batch,
                messages,
                dependencies,
                key=[_key(batch) for batch in batches],
                pure=False,
                priority=batches[0].priority,
                resources=batches[0].resources or None,
                workers=idle,
                allow_other_workers=idle is not None,
            )
            for batch, future in zip(batches, futures, strict=True):
                self._flights[batch.id].future = future
        for batch, future in zip(batches, futures, strict=True):
            client.loop.add_callback(self._watch, batch.id, future)

    async def _watch(self, batch_id: int, future: Any) -> None:
        """Wait for Dask to be done with a batch (callbacks of futures outlive their executor)."""
        while future.status in ("pending", "lost"):
            await future._state.wait()
        if future.status != "finished":
            self._incoming.put(lambda: self._failed(batch_id, future))

    # --- receiving (events in the client's own thread, the rest in ours) -------------------------

    def _event(self, event: Any) -> None:
        _, message = event
        kind = message.get("dataflow") if isinstance(message, dict) else None
        if kind is not None:
            batch_id, data = message["batch"], message["data"]
            self._incoming.put(lambda: self._heard(kind, batch_id, data))

    def _receive_all(self) -> None:
        looked = 0.0
        while self._receive_next() and not self._end_if_idle():
            if self._workers is not None and time.monotonic() - looked > _LOOK_SECONDS:
                self._workers.look(self._has_work)
                looked = time.monotonic()

    def _receive_next(self) -> bool:
        try:
            step = self._incoming.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return True
        if step is _STOP:
            return False
        self._do(step)
        return True

    @property
    def _has_work(self) -> bool:
        return bool(self._flights) or (self._lines is not None and self._lines.is_busy)

    def _end_if_idle(self) -> bool:
        """End a cluster of ours that nobody has used for a while and that holds nothing."""
        with self._lock:
            now = time.monotonic()
            connection = self._connection
            if self._has_work or self._remote or not self._outgoing.empty():
                self._busy_at = now
            elif self._has_counts and connection is not None:
                self._has_counts = False
                connection.client.loop.add_callback(self._forget_counts)
            if self.closed or connection is None or not connection.ends_idle:
                return False
            if now - self._busy_at < _IDLE_SECONDS:
                return False
            self.closed = True
        self._stop_threads()
        self._end_connection()
        return True

    def _heard(self, kind: str, batch_id: int, data: bytes) -> None:
        if kind == MEET:
            assert self._deaths is not None
            self._deaths.meet(*pickle.loads(data))
            return
        flight = self._flight(batch_id)
        if flight is None:
            return
        if kind in ("report", "part"):
            self._deliver(flight, load_report(data))
        elif kind == BEGUN:
            flight.begun_on = data.decode()
        elif kind == "logs":
            self.listener.logged(batch_id, pickle.loads(data))
        else:
            threading.Thread(
                target=self._fetch_report, args=(flight, kind == "alone"), daemon=True
            ).start()

    def _flight(self, batch_id: int) -> Flight | None:
        with self._lock:  # a report can be here before the sender has noted the future
            return self._flights.get(batch_id)

    def _fetch_report(self, flight: Flight, alone: bool) -> None:
        """Get a report that was too large for an event."""
        try:
            future = flight.future
            if not alone:
                future = self._run(dask_worker.report_of, "report", future)
            found = self._gather(future)
            report = load_report(found.report if alone else found)
        except Exception as error:
            reason = error.__cause__ or error
            self._incoming.put(lambda: self._lost(flight, reason))
            return
        self._incoming.put(lambda: self._deliver(flight, report))

    def _deliver(self, flight: Flight, report: BatchReport) -> None:
        with self._lock:
            if report.final and self._flights.pop(report.batch_id, None) is None:
                return
        self._has_counts |= report.reaches is not None
        if isinstance(report.values, LeftColumn):
            report.values = RemoteColumn(self, flight.future, report.values, flight.code)
            self._remote.add(report.values)
            self._has_counts = True
        elif report.values is not None:
            self._bytes_fetched += report.values.nbytes
        self.listener.reported(report)

    # --- what went wrong -------------------------------------------------------------------------

    def _failed(self, batch_id: int, future: Any) -> None:
        """Dask is done with a batch, and it did not go well."""
        flight = self._flight(batch_id)
        if flight is not None and flight.future is future:
            self._lost(flight, future.exception() if future.status == "error" else None)

    def _lost(self, flight: Flight, error: BaseException | None) -> None:
        """Dask gave a batch up."""
        connection, batch = self._connection, flight.batch
        if connection is None or connection.is_lost:
            self._break(connection_lost())
            return
        is_own = getattr(error, "task", None) == _key(batch)
        if error is not None and not is_own and flight.retries < _RETRIES:
            flight.retries += 1
            if self._try_again(flight.future, error):  # what it depends on is made again first
                connection.client.loop.add_callback(self._watch, batch.id, flight.future)
                return
        if error is not None and not _is_loss(error):
            problem = error if isinstance(error, Exception) else RuntimeError(repr(error))
            if self._landed(batch.id):
                self.listener.reported(failed_report(batch, problem))
            return
        worker = getattr(error, "last_worker", None)
        position = None
        if connection.boards is not None and is_own:
            position = find_position(connection.boards, batch)
        if worker is None:
            self._give_up(batch.id, position, _cause(error))
            return
        assert self._deaths is not None
        explain = self._deaths.explain(worker.address)
        explain(lambda cause: self._incoming.put(lambda: self._explained(flight, position, cause)))

    def _explained(self, flight: Flight, position: int | None, cause: str) -> None:
        """It is known by now what else that worker had."""
        self._give_up(flight.batch.id, -1 if flight.is_excused else position, cause)

    def _give_up(self, batch_id: int, position: int | None, cause: str) -> None:
        if self._landed(batch_id):
            self.listener.lost(batch_id, position, cause, False)

    def _landed(self, batch_id: int) -> bool:
        """Note that nothing more will come of a batch; whether that is new."""
        with self._lock:
            return self._flights.pop(batch_id, None) is not None

    def _died(self, address: str, keys: Collection[Any], explain: Explain) -> None:
        """A worker is gone that Dask had given these of its tasks."""
        with self._lock:
            flights = [self._flights.get(key[1]) for key in keys if isinstance(key, tuple)]
        ours = [each for each in flights if each and _key(each.batch) in keys]
        if ours:
            if self._connection is not None and self._connection.boards is None:
                self._incoming.put(lambda: excuse(ours, address, len(keys)))
            self.listener.died(sorted(each.batch.id for each in ours), explain)

    def _lost_over_line(self, address: str, positions: dict[int, int | None]) -> None:
        """The line of a worker has ended that had these batches, and was at these calls of them."""
        assert self._deaths is not None
        explain = self._deaths.explain(address)
        if positions:
            self.listener.died(positions, explain)
        self._deaths.line_has_ended(address)
        if not positions:
            return

        def give_up(cause: str) -> None:
            for batch_id, position in positions.items():
                self.listener.lost(batch_id, position, cause, False)

        explain(give_up)


def excuse(flights: Collection[Flight], address: str, tasks: int) -> None:
    """A suspect that had not begun is not to blame, if its worker had anything else.

    Args:
        flights: the batches of this client that the worker had.
        address: of the worker.
        tasks: how many it had, of whoever uses the cluster.
    """
    waiting = {each.batch.id for each in flights if each.batch.suspect and each.begun_on != address}
    for flight in flights:
        flight.is_excused = flight.batch.id in waiting and len(waiting) < tasks


def _outside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call Dask's client in no context: its event loop would keep that of the flow that asks."""
    return contextvars.Context().run(function, *args, **kwargs)


def _kind(batch: Batch) -> tuple[Any, ...]:
    return -batch.priority, resources_of(batch)


def _key(batch: Batch) -> tuple[str, int]:
    """One prefix a task and one group a run, since the scheduler keeps prefixes for ever."""
    return f"{batch.tasks[0].name}-{batch.run.run_id}", batch.id


_LOSSES = {"KilledWorker", "CancelledError", "ConstantMissing", "CommClosedError"}


def _is_loss(error: BaseException) -> bool:
    return not _LOSSES.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def _cause(error: BaseException | None) -> str:
    return "Dask gave it up" if error is None else f"Dask gave it up: {error}"


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Dask's client logs, with tracebacks, that the other end was faster in hanging up."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("client", "batched", "core")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
