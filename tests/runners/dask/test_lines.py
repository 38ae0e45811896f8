"""Short batches that go straight to Dask's workers, beside those that Dask places."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, get_run_logger, task
from dataflow.errors import FlowRunTimeoutError
from runners.dask import DaskTaskRunner
from tests.runners.dask.pool import (
    LARGE,
    client_of,
    eventually,
    lines_are_ready,
    lines_of,
    session_of,
    tasks_of_dask,
    worker_pids,
)
from tests.runners.stored import messages_of, run_of


@task
def add_one(number: int) -> int:
    return number + 1


@task
def nap(seconds: float) -> tuple[int, float, float]:
    begun = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), begun, time.monotonic()


@task
def wait_for(place: Path) -> float:
    """Ends when somebody has made a file; for how long it took, that comes too late."""
    assert eventually(place.exists)
    return time.monotonic()


@task(batch_size=1)
def meet(number: int, folder: Path) -> int:
    """Ends when two are at it; tells which process it is in."""
    (folder / str(number)).touch()
    assert eventually(lambda: len(list(folder.iterdir())) == 2)
    return os.getpid()


@task
def large(seconds: float) -> tuple[int, float, float, bytes]:
    return *nap.fn(seconds), b"x" * LARGE


@task
def after(made: tuple[int, float, float, bytes]) -> tuple[int, float, float]:
    return nap.fn(0.05)


def learn(*names: Any) -> None:
    """Have it known how long these take, and how large their values are."""
    for each in names:
        each.submit(0).wait()


def learn_and_settle(runner: DaskTaskRunner, *names: Any) -> None:
    """The same, and all workers are there and free, whatever was done to them before."""
    learn(*names)
    assert eventually(lambda: lines_are_ready(runner))


def test_a_chain_costs_dask_nothing(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def chain() -> tuple[int, int]:
        learn_and_settle(own, add_one)
        before = tasks_of_dask(own)
        future = add_one.submit(0)
        for _ in range(999):
            future = add_one.submit(future)
        return future.result(), tasks_of_dask(own) - before

    assert chain() == (1000, 0)


def test_values_that_are_large_stay_with_dask(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def passed_on() -> int:
        learn(large)
        before = own.bytes_through_flow
        after.submit(large.submit(0)).wait()
        return own.bytes_through_flow - before

    assert passed_on() < 10_000


TWO_MEGABYTES = 2_000_000  # for less a batch does not stay


@task
def make_large(seconds: float) -> bytes:
    time.sleep(seconds)
    return b"x" * TWO_MEGABYTES


@task
def count_of(*made: bytes) -> int:
    return sum(map(len, made))


@pytest.mark.parametrize("each", [1, 3])
def test_large_values_stay_when_a_batch_takes_longer_than_was_thought(
    own: DaskTaskRunner, each: int
) -> None:
    """Values that only calls of the same batch need: it may be cut before these."""

    @flow(task_runner=own)
    def slower() -> tuple[int, int]:
        count_of.submit(make_large.submit(0)).wait()
        count_of.submit(make_large.submit(0)).wait()
        before = own.bytes_through_flow
        made = [[make_large.submit(0.3) for _ in range(each)] for _ in range(6)]
        counts = [count_of.submit(*some) for some in made]
        del made
        return sum(future.result() for future in counts), own.bytes_through_flow - before

    found, through_flow = slower()
    assert found == 6 * each * TWO_MEGABYTES
    assert through_flow < 10_000


def test_a_value_that_is_large_for_once(own: DaskTaskRunner) -> None:
    @task
    def grown(length: int) -> bytes:
        return b"x" * length

    @flow(task_runner=own)
    def grows() -> tuple[int, int]:
        learn(grown)
        made = grown.submit(5_000_000)
        return len(made.result()), grown.submit(made.result().count(b"x")).result().count(b"x")

    assert grows() == (5_000_000, 5_000_000)


def test_a_call_that_ends_its_worker_crashes_alone(own: DaskTaskRunner) -> None:
    @task
    def dies_at(number: int, deadly: int) -> int:
        if number == deadly:
            os._exit(3)
        return number

    @flow(task_runner=own)
    def deadly() -> Any:
        dies_at.submit(0, -1).wait()
        assert eventually(lambda: lines_are_ready(own))
        before = tasks_of_dask(own)
        futures = [dies_at.submit(number, 7) for number in range(50)]
        for future in futures:
            future.wait()
        assert tasks_of_dask(own) - before < 50
        return futures

    deadly(return_state=True)
    counts = [node.counts for node in run_of(deadly).nodes()]
    assert counts == [{"Completed": 1}] * 8 + [{"Crashed": 1}] + [{"Completed": 1}] * 42
    assert eventually(lambda: lines_are_ready(own))  # a new one has come with its line


def test_a_deadly_element_of_a_later_stage_crashes_alone(own: DaskTaskRunner) -> None:
    @task
    def dies_far_on(number: int) -> int:
        if number == 12_345:
            os._exit(3)
        return number

    @flow(task_runner=own)
    def deadly() -> Any:
        learn(add_one)
        assert eventually(lambda: lines_are_ready(own))
        add_one.map(dies_far_on.map(add_one.map(range(-1, 19_999)))).wait()

    deadly(return_state=True)
    counts = [node.counts for node in run_of(deadly).nodes()][-3:]
    assert counts == [
        {"Completed": 20_000},
        {"Completed": 19_999, "Crashed": 1},
        {"Completed": 19_999, "NotReady": 1},
    ]


def test_a_run_that_is_ended_frees_its_workers(own: DaskTaskRunner) -> None:
    @flow(task_runner=own, timeout_seconds=0.5)
    def endless() -> None:
        learn(nap)
        for future in [nap.submit(60.0) for _ in range(4)]:
            future.wait()

    with pytest.raises(FlowRunTimeoutError):
        endless()
    assert flow(lambda: add_one.submit(1).result(), name="next", task_runner=own)() == 2
    assert eventually(lambda: not lines_of(own).is_busy)


def test_what_dask_places_does_not_wait_for_a_long_call(
    own: DaskTaskRunner, tmp_path: Path
) -> None:
    """The call was expected to be short, and the value that the other needs is on its worker."""
    known, place = tmp_path / "known", tmp_path / "place"
    known.touch()

    @flow(task_runner=own)
    def beside() -> tuple[float, list[Any]]:
        wait_for.submit(known).wait()
        learn_and_settle(own, large)
        made = [large.submit(0.0) for _ in range(2)]
        for future in made:
            future.wait()
        long = wait_for.submit(place)
        assert eventually(lambda: lines_of(own).is_busy)
        others = [after.submit(future) for future in made]
        for future in others:
            future.wait(timeout=30)
        place.touch()
        return long.result(), [future.result() for future in others]

    long, others = beside()
    assert all(ended < long for _, _, ended in others)


def test_no_more_at_once_than_there_are_threads(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def mixed() -> list[tuple[int, float, float]]:
        learn_and_settle(own, nap, large)
        futures: list[Any] = []
        for number in range(30):
            futures.append(nap.submit(0.004 * (number % 5)))
            futures.append(large.submit(0.004 * (number % 7)))
        return [future.result()[:3] for future in futures]

    calls = mixed()
    for pid in {pid for pid, *_ in calls}:
        spans = sorted(span for owner, *span in calls if owner == pid)
        assert all(before[1] <= next_one[0] for before, next_one in pairwise(spans))


def test_a_worker_that_dask_has_occupied_hands_batches_back(
    own: DaskTaskRunner, tmp_path: Path
) -> None:
    @task
    def hold(folder: str) -> bytes:
        Path(folder, str(os.getpid())).touch()
        while not Path(folder, "go").exists():
            time.sleep(0.01)
        return b"x" * LARGE

    @flow(task_runner=own)
    def held() -> int:
        learn_and_settle(own, add_one)
        holding = hold.submit(str(tmp_path))  # never measured: it goes to Dask
        assert eventually(lambda: any(path.name.isdigit() for path in tmp_path.iterdir()))
        total = sum(future.result() for future in [add_one.submit(n) for n in range(200)])
        (tmp_path / "go").touch()
        holding.wait()
        return total

    try:
        assert held() == sum(range(1, 201))
    finally:
        (tmp_path / "go").touch()
    assert eventually(lambda: lines_are_ready(own))


def test_logs_and_dasks_own_functions(own: DaskTaskRunner) -> None:
    from distributed import get_worker

    @task
    def speaks(number: int) -> str:
        get_run_logger().info("number %d", number)
        return str(get_worker().address)

    @flow(task_runner=own)
    def spoken() -> set[str]:
        learn_and_settle(own, speaks)
        return {future.result() for future in [speaks.submit(number) for number in range(1, 30)]}

    state = spoken(return_state=True)
    assert state.result() <= set(client_of(own).scheduler_info()["workers"])
    told = sorted(messages_of(run_of(spoken)))
    assert told == sorted(f"number {number}" for number in range(30))


def test_two_threads_in_a_worker_have_a_line_each(tmp_path: Path) -> None:
    folders = tmp_path / "first", tmp_path / "then"
    for folder in folders:
        folder.mkdir()
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1, "threads_per_worker": 2}) as runner:

        @flow(task_runner=runner)
        def paired() -> tuple[set[int], int]:
            def met(folder: Path) -> list[int]:
                return [each.result() for each in [meet.submit(n, folder) for n in range(2)]]

            met(folders[0])
            assert eventually(lambda: lines_are_ready(runner))
            before = tasks_of_dask(runner)
            return set(met(folders[1])), tasks_of_dask(runner) - before

        pids, by_dask = paired()
        assert len(pids) == 1
        assert by_dask == 0


def test_a_worker_that_comes_while_nothing_is_under_way_is_counted(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def idle() -> bool:
        learn_and_settle(own, add_one)
        session_of(own).resized(1)  # as it was seen while one worker was being started again
        return eventually(lambda: own.slots == 2)

    assert idle()


def test_a_worker_that_is_killed_between_batches(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def interrupted() -> int:
        learn_and_settle(own, nap, add_one)
        victim = worker_pids(own)[0]
        numbers = [add_one.submit(number) for number in range(2000)]
        naps = [nap.submit(0.01) for _ in range(40)]
        naps[5].wait()
        os.kill(victim, signal.SIGKILL)
        for future in naps:
            future.wait()
        return sum(future.result() for future in numbers)

    assert interrupted() == sum(range(1, 2001))
