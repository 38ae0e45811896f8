"""What dies on Dask: workers at work, workers with values, elements that kill, the scheduler."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, task, unmapped
from dataflow.errors import FlowRunTimeoutError, ResultMissing, RunnerUnavailable
from runners.dask import DaskTaskRunner
from tests.runners.dask.pool import (
    client_of,
    eventually,
    kill_workers,
    session_of,
    shared_runner,
    worker_pids,
)
from tests.runners.programs import is_alive

alone = {"timeout_seconds": 60}  # what has a time limit shares no batch with others


@pytest.fixture
def runner() -> DaskTaskRunner:
    warm_up()
    return shared_runner()


@task
def same(value: Any) -> Any:
    return value


@flow(task_runner="dask")
def warm_up() -> int:
    return sum(same.map(range(4)).result())


@task
def nap(number: int) -> int:
    time.sleep(0.02)
    return number


def test_a_worker_that_dies_at_work(runner: DaskTaskRunner) -> None:
    @flow(task_runner="dask")
    def interrupted() -> int:
        victim = worker_pids(runner)[0]
        numbers = nap.map(range(60))
        numbers[0].wait()
        os.kill(victim, signal.SIGKILL)
        return sum(numbers.result())

    assert interrupted() == sum(range(60))


def test_values_that_are_lost_are_made_again(runner: DaskTaskRunner) -> None:
    @task
    def large(number: int) -> bytes:
        return bytes([number]) * 100_000

    @task
    def first(data: bytes) -> int:
        return data[0]

    @flow(task_runner="dask")
    def lost() -> Any:
        data = large.map(range(20))
        data.wait()
        kill_workers(runner)
        return first.map(data).result(), data[7].result()[0]

    assert lost() == (list(range(20)), 7)


@task
def slow_at_first(number: int, marker: str) -> tuple[int, str]:
    if not Path(marker).exists():
        time.sleep(0.03)
    return number, "x" * 2000


@task
def doubled(pair: tuple[int, str]) -> int:
    return 2 * pair[0]


@task
def joined(pair: tuple[int, str], double: int) -> tuple[int, int]:
    return pair[0], double


def test_a_batch_that_was_cut_is_made_again_just_as_far(
    runner: DaskTaskRunner, tmp_path: Path
) -> None:
    """The second run is quick and would go further than the first, which shifts its columns."""
    marker = tmp_path / "ran once"

    @flow(task_runner="dask")
    def cut() -> Any:
        pairs = slow_at_first.map(range(40), unmapped(str(marker)))
        doubles = doubled.map(pairs)
        later = same.submit(0, wait_for=[doubles])
        doubles.wait()
        client = client_of(runner)
        stops = client.get_metadata(["dataflow", client.id], {})
        later.wait()
        marker.touch()
        kill_workers(runner)
        return joined.with_options(**alone).map(pairs, doubles).result(), len(stops)

    result, stops = cut()
    assert result == [(number, 2 * number) for number in range(40)]
    assert stops > 0


def test_an_element_that_fails_when_it_is_made_again(
    runner: DaskTaskRunner, tmp_path: Path
) -> None:
    marker = tmp_path / "ran once"

    @task
    def moody(number: int) -> tuple[int, bytes]:
        if number == 3 and marker.exists():
            raise ValueError("not again")
        return number, bytes(50_000)

    @task
    def number_of(pair: tuple[int, bytes]) -> int:
        return pair[0]

    @flow(task_runner="dask")
    def lost() -> Any:
        pairs = moody.map(range(8))
        pairs.wait()
        marker.touch()
        kill_workers(runner)
        return number_of.map(pairs).result(raise_on_failure=False)

    result = lost()
    errors = [value for value in result if not isinstance(value, int)]
    assert all(
        isinstance(error, ResultMissing) and "not again" in str(error) for error in errors
    ), errors
    assert isinstance(result[3], ResultMissing)
    assert set(range(8)) - {3} >= {value for value in result if isinstance(value, int)}


def test_an_element_that_kills_its_worker_crashes_alone(runner: DaskTaskRunner) -> None:
    @task
    def deadly(number: int) -> int:
        if number == 17:
            os._exit(3)
        return number

    @flow(task_runner="dask")
    def poisoned() -> Any:
        futures = deadly.map(range(30))
        futures.wait()
        return {future.state.name for future in futures[:17] + futures[18:]}, futures[17].state.name

    assert poisoned() == ({"Completed"}, "Crashed")


def test_a_call_that_never_ends_is_timed_out(runner: DaskTaskRunner) -> None:
    @task(timeout_seconds=0.5)
    def stuck() -> None:
        time.sleep(1000)

    @flow(task_runner="dask")
    def late() -> Any:
        futures: list[Any] = [stuck.submit(), *nap.map(range(10))]
        return [future.wait() or future.state.name for future in futures]

    assert late() == ["TimedOut", *["Completed"] * 10]


def test_a_flow_that_is_ended_leaves_its_workers_free(runner: DaskTaskRunner) -> None:
    @task
    def stuck() -> None:
        time.sleep(1000)

    @flow(task_runner="dask", timeout_seconds=0.5)
    def endless() -> Any:
        return [future.result() for future in [stuck.submit() for _ in range(4)]]

    with pytest.raises(FlowRunTimeoutError):
        endless()
    assert warm_up() == 6


def test_a_scheduler_that_dies() -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as own:

        @flow(task_runner=own)
        def abandoned() -> Any:
            numbers = nap.map(range(1000))
            numbers[0].wait()
            connection = session_of(own)._connection
            assert connection is not None
            os.killpg(connection.close.__self__._host.pid, signal.SIGKILL)  # type: ignore[attr-defined]
            return numbers.result()

        with pytest.raises(RunnerUnavailable, match="was lost"):
            abandoned()
        assert flow(lambda: sum(same.map(range(4)).result()), name="again", task_runner=own)() == 6


def test_a_value_of_a_cluster_that_was_closed() -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as own:

        @flow(task_runner=own)
        def left() -> Any:
            future = same.submit(b"x" * 100_000)
            future.wait()
            own.close()
            return future.result()

        with pytest.raises(ResultMissing, match="closed"):
            left()


def test_no_process_is_left_behind() -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as own:
        flow(lambda: same.submit(1).result(), name="short", task_runner=own)()
        pids = worker_pids(own)
    assert eventually(lambda: not any(map(is_alive, pids)))
