"""Clusters that stand and adapt: what all runs need adds up, what it may cost is kept, and said."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster import standing
from cluster.adapting import adapt, whole_jobs
from cluster.connecting import connect
from cluster.local import LocalDaskCluster
from cluster.spec import ClusterSpec
from cluster.standing_records import StandingRecord
from dataflow import DaskTaskRunner, flow, task
from dataflow.errors import ClusterError, RunnerUnavailable
from dataflow.execution.runner_protocol import Remaining
from tests.runners.dask.pool import eventually

SECONDS = 60.0


@task
def meet(number: int, folder: Path, count: int) -> int:
    """Ends when so many calls are under way at once."""
    (folder / str(number)).touch()
    assert eventually(lambda: len(list(folder.iterdir())) >= count, SECONDS)
    return number


@task
def wait_for_ever(number: int) -> int:
    if number:
        time.sleep(3600)
    return number


@pytest.fixture
def started(home: Path) -> Iterator[Callable[..., StandingRecord]]:
    """Starts a cluster that ends with the test; ``adapt`` of its spec is given."""
    records = []

    def start(**adapt: Any) -> StandingRecord:
        spec = ClusterSpec("local", name="lab", adapt={"interval": "100ms", **adapt})
        record, _ = standing.start("lab", spec)
        records.append(record)
        return record

    yield start
    for record in records:
        standing.stop(record)


def info(record: StandingRecord) -> dict[str, Any]:
    with standing.Control(record) as control:
        return control.ask("info")


def test_what_remains_for_two_runs_adds_up(started: Callable[..., StandingRecord]) -> None:
    record = started(maximum=8)
    with standing.Control(record) as one, standing.Control(record) as other:
        one.expect(Remaining(elements=100, seconds=10.0))
        other.expect(Remaining(elements=50, seconds=5.0))
        assert eventually(lambda: info(record)["size"].startswith("3 worker(s): 150 elements"))
        assert info(record)["working_runs"] == 2
        one.expect(Remaining())
        assert eventually(lambda: "50 elements remain" in info(record)["size"])
        assert info(record)["working_runs"] == 1
    assert eventually(lambda: info(record)["size"].startswith("0 worker(s): no work remains"))


def test_two_flows_that_share_a_cluster(
    started: Callable[..., StandingRecord], tmp_path: Path
) -> None:
    """Neither has work for more than two workers, and neither ends before there are four."""
    record = started(maximum=4)
    folder = tmp_path / "calls"
    folder.mkdir()
    found: list[list[int]] = []

    def run(first: int) -> None:
        with DaskTaskRunner(cluster="lab") as runner:

            @flow(task_runner=runner)
            def both() -> list[int]:
                numbers = range(first, first + 2)
                return list(meet.map(numbers, folder=folder, count=4).result())

            found.append(both())

    threads = [threading.Thread(target=run, args=(first,)) for first in (0, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SECONDS)
    assert sorted(found) == [[0, 1], [2, 3]]
    assert eventually(lambda: info(record)["size"].startswith("0 worker(s)"), SECONDS)


def test_workers_that_are_retired_end_at_once(
    started: Callable[..., StandingRecord], home: Path
) -> None:
    """Closed by the scheduler and by the cluster, they took 4 s, and none was started meanwhile."""
    started(maximum=1)
    with DaskTaskRunner(cluster="lab") as runner:

        @flow(task_runner=runner)
        def short() -> int:
            return wait_for_ever.submit(0).result()

        assert short() == 0
    log = home / "clusters" / "lab.log"
    assert eventually(lambda: "Stopping worker at" in log.read_text(), SECONDS)
    assert "Reason: scheduler-remove-worker" not in log.read_text()


def test_what_a_cluster_may_cost_is_kept(
    started: Callable[..., StandingRecord], home: Path
) -> None:
    record = started(maximum=2, max_worker_seconds=8.0)  # nothing is used before there is work
    client = connect(record.address)
    futures: list[Any] = []
    with DaskTaskRunner(cluster="lab") as runner:

        @flow(task_runner=runner)
        def too_long() -> Any:
            futures.extend(wait_for_ever.with_options(batch_size=1).map(range(2)))
            return futures[1].result()

        with pytest.raises(RunnerUnavailable, match="max_worker_seconds = 8 are used"):
            too_long()
    assert futures[0].state.name == "Completed"
    try:
        assert eventually(lambda: not client.nthreads(), SECONDS)
    finally:
        client.close()
    assert eventually(lambda: info(record)["size"].startswith("0 worker(s): no work remains"))
    log = home / "clusters" / "lab.log"  # however soon another size followed
    assert eventually(lambda: "pays for nobody: all end" in log.read_text())
    with DaskTaskRunner(cluster="lab") as runner:  # and it does not begin anew

        @flow(task_runner=runner)
        def later() -> int:
            return int(wait_for_ever.submit(0).result())

        with pytest.raises(RunnerUnavailable, match="may not go on"):
            later()


CEILING = {"minimum": 1, "maximum": 1, "interval": "100ms", "max_worker_seconds": 2.0}
ONE = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
HOSTED: dict[str, Any] = {"kwargs": {**ONE, "dashboard_address": "127.0.0.1:0"}, "adapt": CEILING}


@contextmanager
def of_a_given_cluster() -> Iterator[DaskTaskRunner]:
    from distributed import LocalCluster

    with (
        LocalCluster(**ONE) as cluster,
        DaskTaskRunner(cluster=cluster, adapt_kwargs=CEILING) as runner,
    ):
        yield runner


@pytest.mark.parametrize(
    "make",
    [
        lambda: DaskTaskRunner(adapt_kwargs=CEILING),
        lambda: DaskTaskRunner(cluster=ClusterSpec("local", adapt=CEILING)),
        lambda: DaskTaskRunner(cluster=ClusterSpec("distributed:LocalCluster", **HOSTED)),
        lambda: DaskTaskRunner(
            cluster_class="distributed:LocalCluster", cluster_kwargs=ONE, adapt_kwargs=CEILING
        ),
        of_a_given_cluster,
    ],
    ids=["own", "spec", "hosted", "class", "given"],
)
def test_a_runner_has_one_ceiling_for_all_its_clusters(
    make: Callable[[], AbstractContextManager[DaskTaskRunner]], home: Path
) -> None:
    with make() as runner:

        @flow(task_runner=runner)
        def too_long() -> Any:
            return wait_for_ever.submit(1).result()

        @flow(task_runner=runner)
        def later() -> Any:
            return wait_for_ever.submit(0).result()

        for asks in (too_long, later):
            with pytest.raises(RunnerUnavailable, match="max_worker_seconds = 2 are used"):
                asks()


def test_what_a_host_that_was_killed_had_used_is_the_most_that_it_can_have_been() -> None:
    cluster = LocalDaskCluster(adapt={"minimum": 0, "maximum": 100}, used_seconds=7.0)
    try:
        assert cluster.used_seconds() == 7.0
        os.kill(cluster._host.pid, signal.SIGKILL)
        before = time.monotonic()
        used = cluster.used_seconds()
        assert 7.0 < used <= 7.0 + 100 * (time.monotonic() - cluster._host._started)
        assert used >= 7.0 + 100 * (before - cluster._host._started)
    finally:
        cluster.close()


def test_values_that_do_not_fit_want_more_workers() -> None:
    import dask
    from distributed import LocalCluster

    limits = {f"distributed.worker.memory.{each}": False for each in ("target", "spill", "pause")}
    with (
        dask.config.set(limits),
        LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=False,
            memory_limit=100_000_000,
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
    ):
        adaptive = adapt(cluster, {"minimum": 0, "maximum": 5, "interval": "50ms"})
        assert adaptive is not None
        client = connect(cluster.scheduler_address)
        try:
            future = client.submit(bytes, 120_000_000)
            assert eventually(lambda: len(client.nthreads()) == 3, SECONDS)
            assert "values that are still needed take 120.0 MB" in adaptive.size.reason
            future.release()
            assert eventually(lambda: not client.nthreads(), SECONDS)
        finally:
            client.close()


def test_a_cluster_that_sizes_itself_cannot_be_held_to_a_cost() -> None:
    class SizesItself:
        def adapt(self, maximum: int = 0) -> None:
            raise AssertionError

    with pytest.raises(ClusterError, match="SizesItself sizes itself: max_worker_seconds"):
        adapt(SizesItself(), {"maximum": 1, "max_worker_seconds": 10})


def test_workers_of_one_job_end_together() -> None:
    specs = {"job-0": {"group": ["-0", "-1"]}, "job-1": {"group": ["-0", "-1"]}, "alone": {}}
    there = {"job-0-0", "job-0-1", "job-1-0", "job-1-1", "alone"}
    assert whole_jobs(["job-0-0", "alone"], specs, there, 9) == ["alone"]
    assert whole_jobs(["job-0-1", "job-0-0"], specs, there, 9) == ["job-0-0", "job-0-1"]
    assert whole_jobs(["job-0-1", "job-0-0", "alone"], specs, there, 1) == ["alone"]
    assert whole_jobs(["job-1-0"], specs, there - {"job-1-1"}, 1) == ["job-1-0"]  # it never came
    assert whole_jobs([3, 4], {3: {}, 4: {}}, {3, 4}, 1) == [3]
