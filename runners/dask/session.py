"""One connection to a Dask cluster: batches go out, reports come in, values stay there.

Two threads: one opens the cluster and then sends (``sending``), all batches that wait in one
message; the other takes what came back. What Dask has (``flights``) is watched over by
``losses``; what it keeps is fetched by ``values``. All is keyed by the id of the batch.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from cluster.sizing import SPENT_TOPIC
from dataflow.clock import ticks_ns
from dataflow.errors import DataflowError, RunnerUnavailable
from dataflow.execution.runner_protocol import Remaining, RunnerListener
from dataflow.model.batches import Batch, BatchReport
from dataflow.worker.outcomes import failed_report
from runners.dask import worker as dask_worker
from runners.dask.boards import kill_workers
from runners.dask.client import outside, quiet_client
from runners.dask.connection import Connection, connection_lost
from runners.dask.constants import Constants
from runners.dask.encoding import Encoder
from runners.dask.flights import Flight, Flights
from runners.dask.kept import LeftColumn
from runners.dask.lines import DaskLines
from runners.dask.logs import BEGUN, MEET
from runners.dask.losses import Losses
from runners.dask.sending import Sender
from runners.dask.shipping import SharedFiles
from runners.dask.values import ValueFetcher
from runners.dask.watch import WorkerWatch
from runners.messages import load_report

_LOOK_SECONDS = 1.0
_OWN_LOOKS = (0.1, 0.4, 1.0, 0.0)  # seconds after each
_LOOKS = (1.0, 0.0)
_IDLE_SECONDS = 300.0
_SETTLE_SECONDS = 5.0
_STOP = None


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
        self._bytes_told = 0
        self._open_connection = open_connection
        self._resized = resized
        self._connection: Connection | None = None
        self._flights = Flights()
        self._fetcher: ValueFetcher | None = None
        self._losses: Losses | None = None
        self._lines: DaskLines | None = None
        self._sender: Sender | None = None
        self._workers: WorkerWatch | None = None
        self._lock = threading.Lock()
        self._outgoing: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._worker_threads = 0
        self._has_counts = False
        self._busy_at = time.monotonic()
        self._remaining = Remaining()
        self._threads = (
            threading.Thread(target=self._send_all, name="dataflow dask", daemon=True),
            threading.Thread(target=self._receive_all, name="dataflow dask reports", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    # --- called by the runner --------------------------------------------------------------------

    def submit(self, batch: Batch) -> bool:
        """Take a batch, to be sent when the cluster is there; False: the session has ended."""
        if self._sender is not None and self._sender.send_at_once(batch):
            return True
        with self._lock:
            if not self.closed:
                self._outgoing.put(batch)
            return not self.closed

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """Withdraw batches. A worker that is at one is ended if it is ours, else interrupted."""
        ids = list(batch_ids)
        flights = self._flights.cancel(ids)
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
            if self._losses is not None:
                self._losses.deaths.were_ended(pids)

    def expect(self, remaining: Remaining) -> None:
        """Have whoever sizes the cluster told what remains."""
        if remaining != self._remaining:
            self._remaining = remaining
            self.do_soon(lambda: self._tell_remaining(remaining))

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
        for thread in self._threads:
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
        if self._fetcher is not None:
            self._fetcher.close()
        if self._lines is not None:
            self._lines.close()
        if self._losses is not None and not connection.is_lost:
            settle = self._losses.deaths.settle
            with contextlib.suppress(Exception):  # what a run did not wait for is told all the same
                connection.client.sync(settle, callback_timeout=_SETTLE_SECONDS)
        with contextlib.suppress(Exception):
            connection.expect(Remaining())
        connection.note_use()
        with quiet_client():
            with contextlib.suppress(Exception):
                connection.client.unsubscribe_topic(connection.client.id)
                connection.client.close(timeout=2)
            connection.close()

    @property
    def bytes_through_flow(self) -> int:
        """Bytes of values that came to this process."""
        fetched = self._fetcher.bytes_fetched if self._fetcher is not None else 0
        received = self._lines.bytes_received if self._lines is not None else 0
        return self._bytes_told + fetched + received

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
        self._set_up(connection, files)
        client = connection.client
        client.subscribe_topic(client.id, self._event)
        client.subscribe_topic(SPENT_TOPIC, self._hear_spent)
        assert self._losses is not None
        self._do(self._losses.deaths.meet_all)  # before any of them can die of a batch
        self._do(lambda: self.resized(sum(client.nthreads().values())))
        self.do_soon(lambda: self._tell_remaining(self._remaining))
        return not self.closed

    def _set_up(self, connection: Connection, files: SharedFiles) -> None:
        """Make what sends, watches and fetches."""
        client, boards = connection.client, connection.boards
        constants = Constants(client, lambda: self._worker_threads > 0)
        self._fetcher = fetcher = ValueFetcher(client, constants)
        self._losses = losses = Losses(
            connection, self._flights, fetcher, self.do_soon, self._current_listener
        )
        if connection.lines is not None and boards is not None:
            self._lines = DaskLines(
                connection.lines,
                boards,
                losses.deaths,
                self._current_listener,
                self._outgoing.put,
            )
        own_files = files if boards is not None else None
        encoder = Encoder(fetcher, client.id, boards, constants, connection.needs, own_files)
        self._sender = Sender(
            connection, encoder, self._lines, self._flights, losses, self._current_listener
        )
        self._workers = WorkerWatch(connection, self)

    def _current_listener(self) -> RunnerListener:
        return self.listener

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

    def _hear_spent(self, event: Any) -> None:
        """The cluster may not go on: what remains for it will not be done."""
        _, reason = event
        error = RunnerUnavailable(
            f"The Dask cluster may not go on: {reason}.",
            hint="What has ended is recorded. Raise max_worker_seconds (it is that of all clusters "
            "which a runner makes), start the cluster anew, and resume the run.",
        )
        self.do_soon(lambda: self._break(error) if self._has_work else None)

    # --- told by who watches the workers ---------------------------------------------------------

    def do_soon(self, step: Callable[[], None]) -> None:
        """Have the thread that receives do something."""
        self._incoming.put(step)

    def under_way(self) -> list[Batch]:
        """The batches that Dask has."""
        return self._flights.batches()

    def resized(self, threads: int) -> None:
        """So many threads are there."""
        self._worker_threads = threads
        self._resized(threads)

    def gave_up(self, error: RunnerUnavailable) -> None:
        """There was no worker for too long; all that waits fails if there is none still."""
        if self._worker_threads == 0 and self._has_work:
            self._break(error)

    def refused(self, batch: Batch, error: RunnerUnavailable) -> None:
        """No worker with what a batch needs has come: it fails."""
        flight = self._flights.land(batch.id)
        if flight is not None and self._connection is not None:
            outside(self._connection.client.cancel, [flight.future], force=True)
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
        assert self._sender is not None
        sender, begun = self._sender, ticks_ns()
        self._do(lambda: sender.send(batches))
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

    # --- receiving (events in the client's own thread, the rest in ours) -------------------------

    def _event(self, event: Any) -> None:
        _, message = event
        kind = message.get("dataflow") if isinstance(message, dict) else None
        if kind is not None:
            batch_id, data = message["batch"], message["data"]
            self.do_soon(lambda: self._heard(kind, batch_id, data))

    def _receive_all(self) -> None:
        looked = 0.0
        while self._receive_next() and not self._end_if_idle():
            if self._workers is not None and time.monotonic() - looked > _LOOK_SECONDS:
                self._workers.look(self._has_work or self._is_growing)
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

    @property
    def _is_growing(self) -> bool:
        """Whether workers have come, or come again, that the scheduler had not told of."""
        return self._lines is not None and self._lines.threads > self._worker_threads

    @property
    def _has_values(self) -> bool:
        return self._fetcher is not None and self._fetcher.is_needed

    def _end_if_idle(self) -> bool:
        """End a cluster of ours that nobody has used for a while and that holds nothing."""
        with self._lock:
            now = time.monotonic()
            connection = self._connection
            if self._has_work or self._has_values or not self._outgoing.empty():
                self._busy_at = now
            elif self._has_counts and connection is not None:
                self._has_counts = False
                connection.client.loop.add_callback(_forget_counts, connection.client)
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
            assert self._losses is not None
            self._losses.deaths.meet(*pickle.loads(data))
            return
        flight = self._flights.find(batch_id)
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

    def _fetch_report(self, flight: Flight, alone: bool) -> None:
        """Get a report that was too large for an event."""
        assert self._fetcher is not None and self._losses is not None
        losses = self._losses
        try:
            report = self._fetcher.fetch_report(flight.future, alone)
        except Exception as error:
            reason = error.__cause__ or error
            self.do_soon(lambda: losses.given_up(flight, reason))
            return
        self.do_soon(lambda: self._deliver(flight, report))

    def _deliver(self, flight: Flight, report: BatchReport) -> None:
        if report.final and self._flights.land(report.batch_id) is None:
            return
        self._has_counts |= report.reaches is not None
        if isinstance(report.values, LeftColumn):
            assert self._fetcher is not None
            report.values = self._fetcher.column_of(flight, report.values)
            self._has_counts = True
        elif report.values is not None:
            self._bytes_told += report.values.nbytes
        self.listener.reported(report)


async def _forget_counts(client: Any) -> None:
    """Have the scheduler forget how far batches went whose values nobody has any more."""
    with contextlib.suppress(Exception):
        await client.set_metadata(["dataflow", client.id], {})
