"""Letting the size of a Dask cluster follow the work that remains, not the part that Dask was sent.

Dask's own rules stay in force beneath: a worker that is busy, or without which the values on the
cluster would not fit into memory, is not retired, and what other clients want is heard.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from distributed.deploy.adaptive import Adaptive
from distributed.deploy.cluster import Cluster

from cluster.sizing import workers_for
from dataflow.execution.runner_protocol import Remaining


class FollowsWork(Adaptive):
    """Sizes a cluster by the work that remains; arguments as for Dask's ``Adaptive``."""

    _remaining = Remaining()

    def expect(self, remaining: Remaining) -> None:
        """Take in what remains (from any thread); the cluster grows at once if it is too small."""
        self._remaining = remaining
        self.loop.add_callback(self._grow)

    async def _grow(self) -> None:
        with contextlib.suppress(Exception):  # the next check tells why, if it fails as well
            if self.state == "running" and self._wanted() > len(self.plan):
                await self.adapt()

    async def target(self) -> int:
        """As many workers as the work is worth, and no fewer than Dask wants to keep."""
        own: int = await super().target()  # type: ignore[no-untyped-call]
        return max(own, self._wanted())

    def _wanted(self) -> int:
        return workers_for(
            self._remaining,
            len(self.observed),
            self._threads_per_worker(),
            self.minimum,
            self.maximum,
            self.target_duration,
        )

    def _threads_per_worker(self) -> float:
        """The mean of the workers that are there, or else what is known of those to come."""
        threads = [each["nthreads"] for each in self.cluster.scheduler_info["workers"].values()]
        if threads:
            return float(sum(threads) / len(threads))
        spec = getattr(self.cluster, "new_spec", None) or {}
        return float(spec.get("options", {}).get("nthreads") or 1)

    async def workers_to_close(self, target: int) -> list[Any]:
        """Workers that nobody misses: Dask would name busy ones too if it was given a number."""
        idle = await super().workers_to_close(None)  # type: ignore[arg-type]
        return idle[: max(len(self.observed) - target, 0)]

    async def scale_down(self, workers: Any) -> None:
        """Retire workers, and end only those whose values have found another place.

        Dask ends them all: a value that was on the last one would have to be made again.
        """
        there = set(self.observed)
        told = await self.scheduler.retire_workers(names=workers, remove=True, close_workers=True)
        retired = {worker["name"] for worker in told.values()}
        cluster: Any = self.cluster
        ended = cluster.scale_down(
            [each for each in workers if each in retired or each not in there]
        )
        if inspect.isawaitable(ended):
            await ended


def adapt(
    cluster: Any, options: dict[str, Any], otherwise: dict[str, Any] | None = None
) -> Callable[[Remaining], None] | None:
    """Have a cluster adapt its size.

    Args:
        cluster: it may size itself in a way of its own, which stays in force.
        options: arguments of its ``adapt``.
        otherwise: more arguments for one that does, if it knows them.

    Returns:
        Who is to be told what remains; None: nobody wants to know.
    """
    parameters = inspect.signature(cluster.adapt).parameters
    if "Adaptive" in options or not _takes_any(cluster, parameters):
        known = {name: value for name, value in (otherwise or {}).items() if name in parameters}
        cluster.adapt(**{**known, **options})
        return None
    adaptive = cluster.adapt(Adaptive=FollowsWork, **options)
    return adaptive.expect if isinstance(adaptive, FollowsWork) else None


def _takes_any(cluster: Any, parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether ``adapt`` of a cluster is Dask's own, or passes on to it what it is given."""
    if not isinstance(cluster, Cluster):
        return False
    chosen = parameters.get("Adaptive")
    if chosen is not None:
        return chosen.default is Adaptive
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values())
