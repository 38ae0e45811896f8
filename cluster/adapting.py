"""Letting the size of a Dask cluster follow the work that remains, not the part that Dask was sent.

What is decided is decided in :mod:`cluster.sizing`; here is what it takes: the scheduler is asked
how the cluster fares, workers are started, and those that nobody misses are retired. What Dask's
own rules ask for is heard, too: they know of everyone who uses the cluster.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from distributed.core import clean_exception
from distributed.deploy.adaptive import Adaptive
from distributed.deploy.cluster import Cluster
from distributed.protocol.pickle import dumps

from cluster.sizing import SPENT_TOPIC, ClusterLoad, Size, SizeLimits, decide_size
from cluster.versions import by_value
from dataflow.errors import ClusterError
from dataflow.execution.runner_protocol import Remaining

_END_SECONDS = 1.0
_MOST_CHANGES = 100


class FollowsWork(Adaptive):
    """Sizes a cluster by the work that remains.

    Args:
        cluster: whose size it is.
        max_worker_seconds: see :class:`cluster.sizing.SizeLimits`.
        used_seconds: of these, that were used before.
        **options: as for Dask's ``Adaptive``.

    Attributes:
        size: what was decided last, and why.
        changes: sizes with another number of workers than the one before, for whoever takes them.
    """

    def __init__(
        self,
        cluster: Any,
        max_worker_seconds: float | None = None,
        used_seconds: float = 0.0,
        **options: Any,
    ) -> None:
        self.size = Size()
        self.changes: deque[Size] = deque(maxlen=_MOST_CHANGES)
        self._remaining = Remaining()
        self._load = ClusterLoad(used_seconds=used_seconds)
        self._recent: deque[tuple[float, int]] = deque()
        self._counted = (time.monotonic(), 0)
        super().__init__(cluster, **options)
        interval = self.interval or 0.0
        self._limits = SizeLimits(
            self.minimum,
            self.maximum,
            self.target_duration,
            math.inf if max_worker_seconds is None else max_worker_seconds,
            interval + _END_SECONDS,
            interval * self.wait_count,
        )
        self.wait_count = 1  # what was wanted before is in the decision

    def expect(self, remaining: Remaining) -> None:
        """Take in what remains (from any thread); the cluster grows at once if it is too small."""
        self._remaining = remaining
        self.loop.add_callback(self._grow)

    async def _grow(self) -> None:
        with contextlib.suppress(Exception):  # the next check tells why, if it fails as well
            if self.state == "running" and self._is_too_small():
                await self.adapt()

    def _is_too_small(self) -> bool:
        load = replace(self._load, workers=len(self.observed))
        now = decide_size(self._remaining, load, self._limits)
        return now.workers > len(self.plan) or (now.is_spent and bool(self._remaining))

    async def safe_target(self) -> int:
        """As many workers as was decided: that is within the limits already."""
        return await self.target()

    async def target(self) -> int:
        """Find out how the cluster fares, and decide."""
        load = self._load = await self._look()
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - self._limits.calm_seconds:
            self._recent.popleft()
        recent = [wanted for _, wanted in self._recent]
        before, self.size = self.size, decide_size(self._remaining, load, self._limits, recent)
        if self.size.workers != before.workers:
            self.changes.append(self.size)
        self._recent.append((now, self.size.wanted))
        if self.size.is_spent:
            self._load = replace(load, is_spent=True)
            if self._remaining:
                await self.scheduler.log_event(topic=SPENT_TOPIC, msg=self.size.reason)
        return self.size.workers

    async def _look(self) -> ClusterLoad:
        """How the cluster fares, asked of its scheduler."""
        answer = await self.scheduler.run_function(
            function=_dumped(by_value(_count)), kwargs=_dumped({"seconds": self.target_duration})
        )
        if answer["status"] == "error":
            _, error, traceback = clean_exception(**answer)
            assert error is not None
            raise error.with_traceback(traceback)
        workers, threads, busy, holders, held, memory, asked = answer["result"]
        return ClusterLoad(
            workers=workers,
            threads_per_worker=threads / workers if threads else self._expected_threads(),
            busy=busy,
            holders=holders,
            held_bytes=held,
            memory_bytes=memory,
            asked=asked,
            used_seconds=self._count_seconds(workers),
            is_spent=self._load.is_spent,
        )

    @property
    def used_seconds(self) -> float:
        """How long workers have been there so far, all together, with what was used before."""
        then, workers = self._counted
        return self._load.used_seconds + workers * (time.monotonic() - then)

    def _count_seconds(self, workers: int) -> float:
        """How long workers have been there by now; of two counts the larger holds in between."""
        then, before = self._counted
        self._counted = now, _ = time.monotonic(), workers
        return self._load.used_seconds + max(before, workers) * (now - then)

    def _expected_threads(self) -> float:
        """Of a worker that is to come, as far as that is known."""
        spec = getattr(self.cluster, "new_spec", None) or {}
        return float(spec.get("options", {}).get("nthreads") or 1)

    async def workers_to_close(self, target: int) -> list[Any]:
        """Workers that nobody misses; if they cannot be paid for any more, busy ones, too."""
        many = max(len(self.observed) - target, 0)
        if self.size.is_spent:
            named = await super().workers_to_close(target)
        else:  # Dask would name busy ones too if it was given a number
            named = await super().workers_to_close(None)  # type: ignore[arg-type]
        return whole_jobs(named, self._specs, set(self.observed), many)

    @property
    def _specs(self) -> Mapping[Any, Mapping[str, Any]]:
        """What each job of a batch system, or else each worker, is made from."""
        found: Mapping[Any, Mapping[str, Any]] = getattr(self.cluster, "worker_spec", {})
        return found

    async def scale_down(self, workers: Any) -> None:
        """Retire workers, and end only those whose values have found another place.

        Dask ends them all: a value that was on the last one would have to be made again. And it
        has the scheduler close them as well as the cluster, both of which then wait for each other:
        that took 4 s, in which the cluster could not grow.
        """
        there = set(self.observed)
        told = await self.scheduler.retire_workers(names=workers, remove=True, close_workers=False)
        retired = {worker["name"] for worker in told.values()}
        gone = [each for each in workers if each in retired or each not in there]
        cluster: Any = self.cluster
        ended = cluster.scale_down(whole_jobs(gone, self._specs, there - retired, len(gone)))
        if inspect.isawaitable(ended):
            await ended


def whole_jobs(
    workers: Iterable[Any],
    specs: Mapping[Any, Mapping[str, Any]],
    there: Collection[Any],
    most: int,
) -> list[Any]:
    """Those of some workers that can be ended: at most so many, the first ones.

    The workers of one job of a batch system end together, so none of them is ended while another
    one is to stay.

    Args:
        workers: that nobody misses.
        specs: of the jobs; one of several workers has the ends of their names as its ``"group"``.
        there: workers that would be missed, and perhaps some of those that would not.
        most: how many.
    """
    named = list(workers)
    jobs = {
        f"{job}{end}": [f"{job}{each}" for each in spec["group"]]
        for job, spec in specs.items()
        for end in spec.get("group", ())
    }
    found: list[Any] = []
    for worker in named:
        job = [each for each in jobs.get(str(worker), [worker]) if each in there or each in named]
        if worker not in found and set(job) <= set(named) and len(found) + len(job) <= most:
            found += job
    return found


def _count(dask_scheduler: Any, seconds: float) -> tuple[int, int, int, int, int, int, int]:
    """Carried out by the scheduler, which may lack dataflow; the attributes of ``ClusterLoad``."""
    workers = list(dask_scheduler.workers.values())
    return (
        len(workers),
        sum(worker.nthreads for worker in workers),
        sum(bool(worker.processing) for worker in workers),
        sum(bool(worker.nbytes) for worker in workers),
        sum(worker.nbytes for worker in workers),
        sum(worker.memory_limit or 0 for worker in workers),
        dask_scheduler.adaptive_target(seconds),
    )


def _dumped(what: Any) -> bytes:
    """As Dask's scheduler takes it."""
    data: bytes = dumps(what)  # type: ignore[no-untyped-call]
    return data


def adapt(
    cluster: Any,
    options: dict[str, Any],
    otherwise: dict[str, Any] | None = None,
    used_seconds: float = 0.0,
) -> FollowsWork | None:
    """Have a cluster adapt its size; what it has used so far is not forgotten by it.

    Args:
        cluster: it may size itself in a way of its own, which stays in force.
        options: arguments of its ``adapt``, and ``max_worker_seconds``.
        otherwise: more arguments for one that does, if it knows them.
        used_seconds: of ``max_worker_seconds``, that clusters before it have used.

    Returns:
        Who is to be told what remains; None: nobody wants to know.

    Raises:
        ClusterError: it sizes itself, and cannot be held to ``max_worker_seconds``.
    """
    parameters = inspect.signature(cluster.adapt).parameters
    if "Adaptive" in options or not _takes_any(cluster, parameters):
        if "max_worker_seconds" in options and "max_worker_seconds" not in parameters:
            raise ClusterError(
                f"A {type(cluster).__name__} sizes itself: max_worker_seconds cannot be kept.",
                hint="Leave it out, and limit the cluster by its maximum.",
            )
        known = {name: value for name, value in (otherwise or {}).items() if name in parameters}
        cluster.adapt(**{**known, **options})
        return None
    before = getattr(cluster, "_adaptive", None)
    if isinstance(before, FollowsWork):
        used_seconds = max(used_seconds, before.used_seconds)
    adaptive = cluster.adapt(Adaptive=FollowsWork, used_seconds=used_seconds, **options)
    return adaptive if isinstance(adaptive, FollowsWork) else None


def _takes_any(cluster: Any, parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether ``adapt`` of a cluster is Dask's own, or passes on to it what it is given."""
    if not isinstance(cluster, Cluster):
        return False
    chosen = parameters.get("Adaptive")
    if chosen is not None:
        return chosen.default is Adaptive
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values())
