"""A Dask cluster as the simulation sees it: when a batch begins, when its report is back.

The figures are those measured on two cores over loopback: how often each side sends, and what a
batch costs the scheduler. Threads belong to workers; the scheduler gives a worker at most a tenth
more batches than it has threads and keeps the rest, as Dask does with tasks that need no others.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

CLIENT_SENDS_SECONDS = 0.010
SCHEDULER_SENDS_SECONDS = 0.005
WORKER_SENDS_SECONDS = 0.002
SCHEDULER_SECONDS = 54e-6
"""Of the scheduler's processor: for a batch that comes and for its last report, half of it each."""
THREADS_OF_WORKER = 16
SATURATION = 1.1

Step = Callable[[], None]


class Timeline:
    """What happens, in the order of a simulated clock (seconds)."""

    def __init__(self) -> None:
        self.now = 0.0
        self._steps: list[tuple[float, int, Step]] = []
        self._count = 0

    def at(self, seconds: float, step: Step) -> None:
        """Have something happen at a time."""
        self._count += 1
        heapq.heappush(self._steps, (max(seconds, self.now), self._count, step))

    def run(self) -> None:
        """Let everything happen."""
        while self._steps:
            self.now, _, step = heapq.heappop(self._steps)
            step()


@dataclass(slots=True)
class Job:
    """A batch on the cluster: its reports, the last of which ends it.

    Each has the seconds after which it is made, and who gets it and the time the batch began.
    """

    reports: list[tuple[float, Callable[[float], None]]]
    begun: float = 0.0


@dataclass
class _Worker:
    number: int
    free: int
    most: int
    held: int = 0
    waiting: deque[Job] = field(default_factory=deque)


class Cluster:
    """Workers, and the scheduler between them and the client.

    Args:
        timeline: the clock.
        threads: of all workers together.

    Attributes:
        messages: that the scheduler has received or sent, what goes together counted once.
    """

    def __init__(self, timeline: Timeline, threads: int) -> None:
        self.timeline = timeline
        count = -(-threads // THREADS_OF_WORKER)
        sizes = [threads // count + (number < threads % count) for number in range(count)]
        self.workers = [
            _Worker(number, size, int(size * SATURATION + 1)) for number, size in enumerate(sizes)
        ]
        self.messages = 0
        self.busy_seconds = 0.0
        self._free_at = 0.0
        self._queue: deque[Job] = deque()
        self._loads = [(0, number) for number in range(count)]
        self._told_client = -1.0

    def send(self, jobs: list[Job]) -> None:
        """Take batches from the client, all in one message."""
        self.messages += 1
        self.timeline.at(self._next_tick(CLIENT_SENDS_SECONDS), partial(self._sent, jobs))

    def _sent(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._scheduled(partial(self._assign, job))

    def _next_tick(self, every: float) -> float:
        return (int(self.timeline.now / every) + 1) * every

    def _scheduled(self, step: Step) -> None:
        """Half of what a batch costs the scheduler, which does one thing after the other."""
        self._free_at = max(self._free_at, self.timeline.now) + SCHEDULER_SECONDS / 2
        self.busy_seconds += SCHEDULER_SECONDS / 2
        self.timeline.at(self._free_at, step)

    def _assign(self, job: Job) -> None:
        self._queue.append(job)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._queue:
            load, number = heapq.heappop(self._loads)
            worker = self.workers[number]
            if load != worker.held:  # an old entry; there is a newer one
                continue
            if worker.held >= worker.most:
                heapq.heappush(self._loads, (worker.held, number))
                return
            worker.held += 1
            heapq.heappush(self._loads, (worker.held, number))
            job = self._queue.popleft()
            self.messages += 1
            begin = self.timeline.now + SCHEDULER_SENDS_SECONDS
            self.timeline.at(begin, partial(self._arrived, worker, job))

    def _arrived(self, worker: _Worker, job: Job) -> None:
        worker.waiting.append(job)
        self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        while worker.free and worker.waiting:
            worker.free -= 1
            job = worker.waiting.popleft()
            job.begun = self.timeline.now
            self._await_report(worker, job)

    def _await_report(self, worker: _Worker, job: Job) -> None:
        seconds, _ = job.reports[0]
        self.timeline.at(job.begun + seconds, partial(self._told, worker, job))

    def _told(self, worker: _Worker, job: Job) -> None:
        """A worker sends a report; if it is the last, its thread goes on with another batch."""
        _, tell = job.reports.pop(0)
        is_last = not job.reports
        if is_last:
            worker.free += 1
            self._begin(worker)
        else:
            self._await_report(worker, job)
        self.messages += 1
        self.timeline.at(
            self.timeline.now + WORKER_SENDS_SECONDS,
            partial(
                self._scheduled, partial(self._reported, worker, is_last, partial(tell, job.begun))
            ),
        )

    def _reported(self, worker: _Worker, is_last: bool, tell: Step) -> None:
        if is_last:
            worker.held -= 1
            heapq.heappush(self._loads, (worker.held, worker.number))
            self._hand_out()
        tick = self._next_tick(WORKER_SENDS_SECONDS)
        if tick != self._told_client:
            self._told_client = tick
            self.messages += 1
        self.timeline.at(tick, tell)
