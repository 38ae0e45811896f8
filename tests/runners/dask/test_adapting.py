"""A cluster that grows and shrinks with the work that remains, and loses nothing by it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from cluster import adapting
from cluster.connecting import connect
from cluster.local import LocalDaskCluster
from dataflow import flow, task, unmapped
from dataflow.execution.runner_protocol import Remaining
from runners.dask import DaskTaskRunner
from tests.runners.dask.pool import client_of, eventually

FAST = {"interval": "100ms"}
LARGE = 200_000
SECONDS = 60.0


@task
def nap(number: int) -> tuple[int, int]:
    time.sleep(0.05)
    return number, os.getpid()


@task
def nap_until(number: int, place: Path) -> int:
    """All but the first wait for a file as well."""
    time.sleep(0.05)
    assert number < 20 or eventually(place.exists, SECONDS)
    return number


@task(batch_size=1)
def meet(number: int, folder: Path, count: int) -> bytes:
    """Ends when so many processes are at it."""
    with (folder / str(os.getpid())).open("a") as file:
        file.write(f"{number}\n")
    assert eventually(lambda: len(list(folder.iterdir())) >= count, SECONDS)
    return bytes([number]) * LARGE


def calls_in(folder: Path) -> Counter[int]:
    """How often each call was made, on any worker."""
    return Counter(int(line) for file in folder.iterdir() for line in file.read_text().split())


def workers_of(runner: DaskTaskRunner) -> Callable[[], int]:
    """How many it has now; asked in no context, as Dask's event loop may keep that of a flow."""
    client = client_of(runner)
    return lambda: Context().run(lambda: len(client.nthreads()))


@pytest.mark.parametrize(
    "options", [{"minimum": 0}, {"minimum": 1, **FAST}], ids=["none", "one, checked often"]
)
def test_it_grows_to_the_maximum_and_shrinks_to_the_minimum(
    options: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    with DaskTaskRunner(adapt_kwargs={"maximum": 3, **options}) as runner:

        @flow(task_runner=runner)
        def grown() -> list[int]:
            return [value[0] for value in meet.map(range(30), folder=folder, count=3).result()]

        assert runner.slots == 3
        assert grown() == list(range(30))
        assert len(list(folder.iterdir())) == 3  # one for each process
        workers = workers_of(runner)
        assert eventually(lambda: workers() == options["minimum"], SECONDS)


@pytest.mark.parametrize("minimum", [0, 1])
def test_a_value_outlives_the_worker_that_made_it(minimum: int, tmp_path: Path) -> None:
    options = {"minimum": minimum, "maximum": 3, **FAST}
    folder = tmp_path / "calls"
    folder.mkdir()
    with DaskTaskRunner(adapt_kwargs=options) as runner:

        @flow(task_runner=runner)
        def kept() -> tuple[bool, list[bytes]]:
            futures = meet.map(range(3), folder=folder, count=3)
            futures.wait()
            workers = workers_of(runner)
            shrunk = eventually(lambda: workers() == 1, SECONDS)  # it holds all values
            return shrunk, futures.result()

        shrunk, values = kept()
        assert shrunk
        assert values == [bytes([number]) * LARGE for number in range(3)]
        assert calls_in(folder) == {0: 1, 1: 1, 2: 1}  # none was made again
        del values
        workers = workers_of(runner)
        assert eventually(lambda: workers() == minimum, SECONDS)


def test_it_can_grow_again() -> None:
    with DaskTaskRunner(adapt_kwargs={"minimum": 0, "maximum": 2, **FAST}) as runner:

        @flow(task_runner=runner)
        def asked() -> int:
            return sum(number for number, _ in nap.map(range(5)).result())

        assert asked() == 10
        workers = workers_of(runner)
        assert eventually(lambda: workers() == 0, SECONDS)
        assert asked() == 10


def test_the_cluster_of_this_machine_does_as_it_is_told() -> None:
    cluster = LocalDaskCluster(adapt={"minimum": 1, "maximum": 3, **FAST})
    client = connect(cluster.address)
    try:
        cluster.expect(Remaining(elements=100, seconds=10.0))
        assert eventually(lambda: len(client.nthreads()) == 2, SECONDS)
        cluster.expect(Remaining(elements=100, seconds=1000.0))
        assert eventually(lambda: len(client.nthreads()) == 3, SECONDS)
        cluster.expect(Remaining())
        assert eventually(lambda: len(client.nthreads()) == 1, SECONDS)
    finally:
        client.close()
        cluster.close()
    cluster.expect(Remaining())  # nobody hears it


@pytest.fixture
def given() -> Iterator[Any]:
    """A cluster of threads, made by somebody else."""
    from distributed import LocalCluster

    options = {"processes": False, "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        yield cluster


def test_a_cluster_that_is_given(given: Any, tmp_path: Path) -> None:
    place = tmp_path / "place"
    options = {"minimum": 1, "maximum": 2, "target_duration": "500ms", **FAST}
    with DaskTaskRunner(cluster=given, adapt_kwargs=options) as runner:

        @flow(task_runner=runner)
        def grown() -> int:
            futures = nap_until.map(range(60), unmapped(place))
            futures[0].wait()
            workers = workers_of(runner)
            assert eventually(lambda: workers() == 2, SECONDS)
            place.touch()
            return sum(futures.result())

        assert grown() == sum(range(60))
        workers = workers_of(runner)
        assert eventually(lambda: workers() == 1, SECONDS)
    assert given.status.name == "running"


def test_what_was_expected_is_forgotten_with_the_runner(given: Any) -> None:
    much = Remaining(elements=100, seconds=1000.0)
    with DaskTaskRunner(cluster=given, adapt_kwargs={"minimum": 0, "maximum": 2}) as runner:

        @flow(task_runner=runner)
        def begun() -> Any:
            return nap.submit(1).result()

        def is_told() -> bool:
            runner.expect(much)  # again: the run loop may still be about to say what is true
            return given._adaptive._remaining == much and workers_of(runner)() == 2

        begun()
        assert eventually(is_told, SECONDS)
    assert given._adaptive._remaining == Remaining()


def test_the_last_worker_is_not_ended_while_it_has_a_value(given: Any, tmp_path: Path) -> None:
    adaptive = adapting.adapt(given, {"minimum": 0, "maximum": 1, "interval": "1h"})
    assert adaptive is not None
    calls = tmp_path / "calls"

    def made() -> str:
        with calls.open("a") as file:
            return "made" * file.write("x")

    client = connect(given.scheduler_address)
    try:
        future = client.submit(made, pure=False)
        assert future.result() == "made"
        given.sync(given._adaptive.scale_down, list(given.plan))
        assert future.result() == "made"
        assert calls.read_text() == "x"
        assert len(client.nthreads()) == 1
    finally:
        client.close()


class _SizesItself:
    """A cluster whose ``adapt`` knows what Dask's does not, and the other way round."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def adapt(self, minimum: int = 0, target_duration: str = "5s") -> None:
        self.told = {"minimum": minimum, "target_duration": target_duration}


def test_a_cluster_that_sizes_itself_is_left_to_it() -> None:
    cluster = _SizesItself()
    assert adapting.adapt(cluster, {"minimum": 1}, {"target_duration": "50ms", "x": 1}) is None
    assert cluster.told == {"minimum": 1, "target_duration": "50ms"}
    adapting.adapt(cluster, {"target_duration": "1s"}, {"target_duration": "50ms"})
    assert cluster.told == {"minimum": 0, "target_duration": "1s"}


def test_an_adaptive_of_the_users(given: Any) -> None:
    from distributed.deploy.adaptive import Adaptive

    class Mine(Adaptive):
        pass

    assert adapting.adapt(given, {"Adaptive": Mine, "minimum": 0, "maximum": 1}) is None
    assert isinstance(given._adaptive, Mine)
