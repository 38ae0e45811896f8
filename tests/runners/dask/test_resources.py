"""What tasks ask of a worker beside a thread: they get it, or it is said that they never will."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import standing
from cluster.spec import ClusterSpec
from dataflow import DaskTaskRunner, flow, records, task
from dataflow.errors import RunnerUnavailable
from tests.runners.far_cluster import FarCluster, far_cluster

PARTS = {"code": [str(Path(__file__).resolve().parents[3] / "tests")]}


def crowd_in(folder: Path, wait: Callable[[], Any]) -> int:
    """How many are in here now."""
    mark = folder / f"{os.getpid()}-{time.monotonic_ns()}"
    mark.touch()
    found = len(list(folder.iterdir()))
    wait()
    mark.unlink()
    return found


@task(resources={"GPU": 1}, batch_size=1)
def on_gpu(number: int, folder: Path) -> tuple[int, int]:
    return os.getpid(), crowd_in(folder, lambda: time.sleep(0.05))


@task(resources={"GPU": 1})
async def soon_on_gpu(number: int, folder: Path) -> tuple[int, int]:
    mark = folder / f"{os.getpid()}-{number}"
    mark.touch()
    found = len(list(folder.iterdir()))
    await asyncio.sleep(0.05)
    mark.unlink()
    return os.getpid(), found


@task
def where(number: int) -> int:
    time.sleep(0.02)
    return os.getpid()


@pytest.fixture(scope="module")
def one_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarCluster]:
    """Of two workers of four threads one has a GPU."""
    with far_cluster(tmp_path_factory.mktemp("far") / "cluster", 4) as far:
        far.start_worker(4, "--resources", "GPU=1")
        far.wait_for_workers(2)
        yield far


@pytest.mark.parametrize("used", [on_gpu, soon_on_gpu], ids=["sync", "async"])
def test_no_more_at_once_than_a_worker_has(one_gpu: FarCluster, used: Any, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    with DaskTaskRunner(cluster=spec_of(one_gpu)) as runner:

        @flow(task_runner=runner)
        def computed() -> tuple[list[tuple[int, int]], list[int]]:
            plain = where.map(range(20))
            asked = [*used.map(range(8), folder=folder), used.submit(9, folder)]
            return [each.result() for each in asked], plain.result()

        for _ in range(2):  # what was measured makes no difference
            found, _ = computed()
            assert {crowd for _, crowd in found} == {1}
            assert len({pid for pid, _ in found}) == 1


def spec_of(far: FarCluster, **more: Any) -> ClusterSpec:
    return ClusterSpec("address", address=far.address, **{**PARTS, **more})


def test_what_no_worker_of_another_cluster_has_is_waited_for_with_patience(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far", 1) as far:
        spec = spec_of(far, name="far", patience_seconds=1.0)
        with DaskTaskRunner(cluster=spec) as runner:

            @flow(task_runner=runner)
            def computed() -> Any:
                future = on_gpu.submit(1, tmp_path)
                assert where.submit(1).result()
                return future.result()

            message = (
                r"(?s)Cluster 'far' has no worker with what task 'on_gpu' needs \(GPU: 1\): "
                r"its workers have no resources, and none has come in .*resources = {GPU = 1}"
            )
            with pytest.raises(RunnerUnavailable, match=message):
                computed()
    (run,) = records.runs(flow_name="computed")
    assert [dict(node.counts) for node in run.nodes()] == [{"Failed": 1}, {"Completed": 1}]


def test_a_worker_that_comes_in_time(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far", 1) as far, DaskTaskRunner(cluster=spec_of(far)) as runner:
        (tmp_path / "inside").mkdir()

        @flow(task_runner=runner)
        def computed() -> Any:
            future = on_gpu.submit(1, tmp_path / "inside")
            assert where.submit(1).result()
            far.start_worker(1, "--resources", "GPU=1")
            return future.result()

        assert computed()[1] == 1


@task(resources={"GPU": 2})
def on_two(number: int) -> int:
    return number


@task(resources={"GPU": 1, "disk": 0.5})
def on_disk(number: int) -> int:
    return number


@flow
def asks_for_two() -> Any:
    return on_two.submit(1).result()


@flow
def asks_for_disk() -> Any:
    return on_disk.submit(1).result()


ADAPTS = {"minimum": 0, "maximum": 1, "interval": "100ms"}


@pytest.mark.parametrize(
    "runner",
    [
        lambda: DaskTaskRunner(cluster=ClusterSpec(workers=1, resources={"GPU": 1})),
        lambda: DaskTaskRunner(cluster=ClusterSpec(adapt=ADAPTS, resources={"GPU": 1})),
        lambda: DaskTaskRunner(cluster_kwargs={"resources": {"GPU": 1}}, adapt_kwargs=ADAPTS),
    ],
    ids=["spec", "spec that adapts", "adapt_kwargs"],
)
def test_what_no_worker_can_ever_give(runner: Callable[[], DaskTaskRunner], home: Path) -> None:
    with runner() as used:
        for asks, text in (
            (asks_for_two, r"task 'on_two' needs \(GPU: 2\)"),
            (asks_for_disk, r"task 'on_disk' needs \(GPU: 1, disk: 0\.5\)"),
        ):
            with pytest.raises(RunnerUnavailable, match=rf"{text}: its workers have GPU: 1\."):
                asks.with_options(task_runner=used)()

        @flow(task_runner=used)
        def fits() -> Any:
            return on_two.with_options(resources={"GPU": 1}).submit(1).result()

        assert fits() == 1


def test_a_standing_cluster_is_known_by_its_spec(home: Path) -> None:
    spec = ClusterSpec("local", name="lab", adapt=ADAPTS, resources={"GPU": 1})
    record, _ = standing.start("lab", spec)
    try:
        with (
            DaskTaskRunner(cluster="lab") as runner,
            pytest.raises(RunnerUnavailable, match=r"Cluster 'lab' has no worker .*GPU: 2"),
        ):
            asks_for_two.with_options(task_runner=runner)()
    finally:
        standing.stop(record)
