"""A runner whose cluster is simulated: the flow that uses it runs in earnest, and is measured.

A simulated clock says when reports are back. It stands still while the run loop takes them in, the
planner makes batches and the writer records; the processor time that they took then passes on it
before anything else can happen there, together with what Dask would have cost this process.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterable
from functools import partial
from itertools import groupby

from benchmarks.simulation.batches import Seconds, Told, report_of, told_of
from benchmarks.simulation.cluster import CLIENT_SENDS_SECONDS, Cluster, Job, Timeline
from dataflow.execution.loop.process_loop import run_loop
from dataflow.execution.loop.run_loop import HANDED_AT_ONCE, RunLoop
from dataflow.execution.runner_protocol import NobodyHelps, RunnerListener
from dataflow.model.batches import Batch, BatchReport
from dataflow.planner.batch_sizes import RunnerCosts

BATCH_SECONDS = 100e-6
"""What a batch costs the client's own Dask, beside our code: to be sent, and to be told of."""
MESSAGE_SECONDS = 500e-6
"""The same for each message with batches or reports, however many are in it."""
_MOST_AT_ONCE = 100


class SimulatedRunner(NobodyHelps):
    """Threads that there are not.

    Args:
        threads: how many batches are carried out at once.
        costs: what a batch costs.
        durations: the seconds of each element of the one map that is carried out.

    Attributes:
        cluster: what has happened there.
        client_seconds: of processor time that the flow's process has needed.
        batches: that were sent.
    """

    name = "simulated"
    shares_objects = False
    event_loops = 1

    def __init__(self, threads: int, costs: RunnerCosts, durations: Seconds) -> None:
        self.slots = threads
        self.costs = costs
        self.timeline = Timeline()
        self.cluster = Cluster(self.timeline, threads)
        self.client_seconds = 0.0
        self.batches = 0
        self._durations = durations
        self._handed: list[tuple[float, Batch]] = []
        self._inbox: list[bytes] = []
        self._reports: list[BatchReport] = []
        self._turn_began = 0.0
        self._free_at = 0.0
        self._is_due = self._goes_on_handing = False
        self._held, self._goes_on = threading.Event(), threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._drive, name="simulation", daemon=True)
        self._loop: RunLoop | None = None
        self._listener: RunnerListener | None = None

    # --- the protocol ----------------------------------------------------------------------------

    def start(self, listener: RunnerListener) -> None:
        """Begin with the first batches."""
        if self._listener is None:
            self._listener, self._loop = listener, run_loop()
            self._thread.start()
            self._loop.post(self._hold)

    def submit(self, batch: Batch) -> None:
        """Pickle a batch, and note when in the turn of the run loop that was."""
        pickle.dumps(batch.body, 5)
        self._handed.append((time.thread_time() - self._turn_began, batch))

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """Nobody cancels anything here."""

    def close(self) -> None:
        """Wait until nothing more happens."""
        self._thread.join()

    @property
    def makespan(self) -> float:
        """Simulated seconds until all of it was recorded."""
        return max(self.timeline.now, self._free_at)

    # --- the flow's process ----------------------------------------------------------------------

    def _drive(self) -> None:
        """Let everything happen, in a thread whose own time is not the client's."""
        assert self._listener is not None
        self._seen = _seconds_of_others()
        self._held.wait()
        try:
            self._turn()
            self.timeline.run()
        except Exception as error:
            self._listener.broken(error)
        finally:
            self._is_over = True
            self._goes_on.set()

    def _turn(self) -> None:
        """Have the run loop take what has arrived, and a turn; time passes afterwards."""
        self._is_due = False
        taken, self._inbox = self._inbox[:_MOST_AT_ONCE], self._inbox[_MOST_AT_ONCE:]
        begun = time.thread_time()
        self._reports = [pickle.loads(data) for data in taken]
        spent = time.thread_time() - begun  # by another thread of ours than the loop's in life
        self._held.clear()
        self._goes_on.set()
        self._held.wait()
        now = _seconds_of_others()
        spent, self._seen = spent + now - self._seen, now
        spent += len(taken) * BATCH_SECONDS + bool(taken) * MESSAGE_SECONDS
        self.client_seconds += spent
        self._free_at = self.timeline.now + spent
        self._send()
        self._wake()

    def _hold(self) -> None:
        """In the thread of the run loop: wait until it may take its next turn, with reports."""
        assert self._loop is not None
        self._held.set()
        self._goes_on.wait()
        self._goes_on.clear()
        if self._is_over:
            return
        self._turn_began = time.thread_time()
        queue = self._loop.queue_of(self)
        reports, self._reports = self._reports, []
        for report in reports:
            self._loop.take_report(queue, report)
        self._loop.post(self._hold)

    def _send(self) -> None:
        """Batches leave as they were made, those of one interval of Dask's in one message."""
        handed, self._handed = self._handed, []
        self.batches += len(handed)
        self._goes_on_handing = len(handed) == HANDED_AT_ONCE
        sent = [
            (self.timeline.now + seconds + number * BATCH_SECONDS, batch)
            for number, (seconds, batch) in enumerate(handed, start=1)
        ]
        messages = [
            list(together)
            for _, together in groupby(sent, key=lambda each: each[0] // CLIENT_SENDS_SECONDS)
        ]
        for message in messages:
            jobs = [self._job(batch) for _, batch in message]
            self.timeline.at(message[-1][0], partial(self.cluster.send, jobs))
        spent = len(handed) * BATCH_SECONDS + len(messages) * MESSAGE_SECONDS
        self.client_seconds += spent
        self._free_at += spent

    def _job(self, batch: Batch) -> Job:
        told = told_of(batch, self._durations)
        return Job([(each.seconds, partial(self._tell, batch, each)) for each in told])

    def _tell(self, batch: Batch, told: Told, begun: float) -> None:
        """A report has arrived here; it is made only now, so that it takes no room before."""
        self._inbox.append(report_of(batch, told, self._durations, begun))
        self._wake()

    def _wake(self) -> None:
        if (self._inbox or self._goes_on_handing) and not self._is_due:
            self._is_due = True
            self.timeline.at(max(self._free_at, self.timeline.now), self._turn)


def _seconds_of_others() -> float:
    """Of processor time, of all threads of this process but this one."""
    return time.process_time() - time.thread_time()
