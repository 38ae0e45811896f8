"""Who is to blame for a worker that died: not what only waited there, nor what ran beside it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local import LocalDaskCluster
from dataflow import flow, task
from dataflow.model.batches import Batch, CallBody, RunInfo
from runners.dask import DaskTaskRunner
from runners.dask.alone import Gate
from runners.dask.flights import Flight
from runners.dask.losses import excuse
from tests.runners.programs import wait_until


@pytest.fixture(params=["one that runs", "own"])
def runner(request: pytest.FixtureRequest) -> Iterator[DaskTaskRunner]:
    """On one worker of two threads."""
    if request.param == "own":
        with DaskTaskRunner(cluster_kwargs={"n_workers": 1, "threads_per_worker": 2}) as found:
            yield found
        return
    cluster = LocalDaskCluster(n_workers=1, threads_per_worker=2)
    with DaskTaskRunner(cluster.address) as found:
        yield found
    cluster.close()


def ended(future: Any) -> str:
    future.wait()
    return str(future.state.name)


@task(batch_size=1)
def deadly_at_three(number: int) -> int:
    if number == 3:
        os._exit(3)
    return number


def test_what_waits_on_the_worker_of_a_deadly_call(home: Path) -> None:
    """Dask gives up all that a worker had; nothing there says which of it had begun."""
    cluster = LocalDaskCluster(n_workers=1, threads_per_worker=1)
    try:
        with DaskTaskRunner(cluster.address) as runner:

            @flow(task_runner=runner)
            def poisoned() -> dict[str, list[str]]:
                mapped = deadly_at_three.map(range(6))
                single = [deadly_at_three.submit(number) for number in range(6)]
                mapped.wait()
                return {
                    "mapped": [each.state.name for each in mapped],
                    "single": [ended(each) for each in single],
                }

            expected = ["Completed"] * 3 + ["Crashed"] + ["Completed"] * 2
            assert poisoned() == {"mapped": expected, "single": expected}
    finally:
        cluster.close()


@task
def ends_both(folder: Path) -> None:
    """Ends its process while the other is under way there, if that comes."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and not (folder / str(os.getpid())).exists():
        time.sleep(0.01)
    os._exit(3)


@task
def beside(folder: Path) -> str:
    (folder / str(os.getpid())).touch()
    time.sleep(1.5)
    return "done"


def test_what_is_under_way_beside_a_deadly_call(
    runner: DaskTaskRunner, tmp_path: Path, home: Path
) -> None:
    @flow(task_runner=runner)
    def poisoned() -> list[str]:
        calls: list[Any] = [ends_both.submit(tmp_path), beside.submit(tmp_path)]
        return [ended(each) for each in calls]

    assert poisoned() == ["Crashed", "Completed"]


def flight(number: int, suspect: bool, begun_on: str | None = None) -> Flight:
    body = CallBody([], [], [], [], [])
    batch = Batch(number, RunInfo("r", "run", "flow"), [], body, suspect=suspect)
    return Flight(batch, begun_on=begun_on)


def test_who_is_excused() -> None:
    def excused(flights: list[Flight], tasks: int) -> list[int]:
        excuse(flights, "here", tasks)
        return [each.batch.id for each in flights if each.is_excused]

    fresh, begun = flight(1, suspect=False), flight(2, suspect=True, begun_on="here")
    waiting = flight(3, suspect=True, begun_on="elsewhere"), flight(4, suspect=True)
    assert excused([fresh, begun, *waiting], 4) == [3, 4]
    assert excused([begun], 1) == []
    # of another client, which may be at something deadly
    assert excused([*waiting], 3) == [3, 4]
    # nothing else was there: it may be that what they need is too large for a worker
    assert excused([*waiting], 2) == []
    assert excused([waiting[0]], 1) == []


def never() -> bool:
    return False


def test_many_are_in_at_once_or_one_alone() -> None:
    gate = Gate()
    assert gate.enter()
    assert gate.enter()
    assert not gate.enter(alone=True)
    gate.leave()
    gate.leave()
    assert gate.enter(alone=True)
    assert not gate.enter()
    assert not gate.enter(alone=True)
    gate.leave()
    assert gate.enter()


def test_who_wants_to_be_alone_comes_next() -> None:
    gate = Gate()
    came: list[str] = []

    def come(name: str, alone: bool) -> None:
        with gate.passed(alone, never):
            came.append(name)

    assert gate.enter()
    last = threading.Thread(target=come, args=("alone", True))
    last.start()
    wait_until(lambda: gate._waiting == 1, "nobody wants to be alone")
    assert not gate.enter()
    other = threading.Thread(target=come, args=("other", False))
    other.start()
    gate.leave()
    last.join()
    other.join()
    assert came == ["alone", "other"]


def test_who_is_over_before_does_not_come_in() -> None:
    gate = Gate()
    with gate.passed(True, never):
        with gate.passed(False, lambda: True):
            pass  # as what was cancelled, and says so
        assert not gate.enter()
    assert gate.enter(alone=True)
