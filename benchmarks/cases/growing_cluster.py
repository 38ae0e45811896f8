"""A cluster that follows the work, when it has no workers and work arrives."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False

NAME = "growing"
_NAP_SECONDS = 0.2
_WAIT_SECONDS = 60.0


def nap(_: int) -> tuple[int, float]:
    began = time.monotonic()
    time.sleep(_NAP_SECONDS)
    return os.getpid(), began


def run(rival: Rival, n: int) -> dict[str, float]:
    """`n` is how many naps are mapped, when it is known how long one takes."""
    rival.load()
    from cluster import standing
    from cluster.spec import ClusterSpec
    from dataflow import DaskTaskRunner, flow, task

    options = {"maximum": rival.workers}
    record, _ = standing.start(NAME, ClusterSpec("local", name=NAME, adapt=options))
    naps = task(nap)

    @flow
    def work() -> list[tuple[int, float]]:
        return naps.map(range(n)).result()

    def run_there() -> list[tuple[int, float]]:
        with DaskTaskRunner(cluster=NAME) as runner:
            return work.with_options(task_runner=runner)()

    try:
        run_there()
        _wait_until_nobody_is_there(record.address)
        asked = time.monotonic()
        began = _first_of_each(run_there())
    finally:
        standing.stop(record)
    assert len(began) == rival.workers, f"{len(began)} workers came"
    return {"first_seconds": began[0] - asked, "all_seconds": began[-1] - asked}


def _first_of_each(naps: list[tuple[int, float]]) -> list[float]:
    """When the first nap of each worker began, in their order."""
    first: dict[int, float] = {}
    for pid, began in naps:
        first[pid] = min(began, first.get(pid, began))
    return sorted(first.values())


def _wait_until_nobody_is_there(address: str) -> None:
    from cluster.connecting import connect

    deadline = time.monotonic() + _WAIT_SECONDS
    client = connect(address)
    try:
        while client.nthreads():
            assert time.monotonic() < deadline, "the cluster does not get smaller"
            time.sleep(0.2)
    finally:
        client.close()
