"""``async`` batches that go straight to the event loops of Dask's workers."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from dataflow import flow, get_run_logger, task
from dataflow.errors import CancelledRun, CrashedRun
from runners.dask import DaskTaskRunner
from runners.dask import lines as dask_lines
from tests.runners.dask.pool import (
    LARGE,
    client_of,
    eventually,
    lines_are_ready,
    lines_of,
    tasks_of_dask,
    worker_pids,
)
from tests.runners.effects import done, note
from tests.runners.stored import counts_of, messages_of, run_of


@task
async def add_one(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


@task
async def large(number: int) -> bytes:
    return bytes(LARGE)


@task
def add_one_here(number: int) -> int:
    return number + 1


@task
async def waits_for(number: int, place: str) -> int:
    """Ends when somebody says so; tells before which process it is in."""
    note(place, f"{number} begun")
    note(place, f"in {os.getpid()}")
    while "go" not in done(place):
        await asyncio.sleep(0.01)
    return number


@task
async def blocks(number: int, place: str) -> int:
    """Keeps its event loop from whatever else runs on it."""
    if number >= 0:
        note(place, f"{number} begun")
        time.sleep(1000)
    return number


@task
async def cannot_be_cancelled(number: int, place: str) -> int:
    if number >= 0:
        note(place, f"{number} begun")
    while number >= 0:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
    return number


def learn(called: Any, *args: Any) -> None:
    """Have it known how large the values of a task are: it goes over lines from now on."""
    called.submit(*args).wait()


def pids_of_lines(runner: DaskTaskRunner) -> set[int]:
    return {worker.pid for worker in lines_of(runner)._workers}


def during(runner: DaskTaskRunner, work: Callable[[], Any]) -> tuple[Any, int]:
    """What comes of some work when all lines are ready, and how many tasks Dask got meanwhile."""
    assert eventually(lambda: lines_are_ready(runner))
    before = tasks_of_dask(runner)
    return work(), tasks_of_dask(runner) - before


def test_requests_cost_dask_nothing(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def fanned_out() -> tuple[Any, int]:
        learn(add_one, 0)
        return during(own, lambda: add_one.map(range(3000)).result())

    assert fanned_out() == (list(range(1, 3001)), 0)
    assert counts_of(fanned_out)["add_one-1"] == {"Completed": 3000}


def test_single_calls_and_what_follows_from_them(own: DaskTaskRunner) -> None:
    @flow(task_runner=own)
    def followed() -> tuple[Any, int]:
        learn(add_one, 0)
        learn(add_one_here, 0)

        def work() -> list[int]:
            calls = [add_one.submit(add_one_here.submit(number)) for number in range(20)]
            return [add_one_here.submit(call).result() for call in calls]

        return during(own, work)

    assert followed() == ([number + 3 for number in range(20)], 0)


def test_values_that_are_large_stay_with_dask(own: DaskTaskRunner) -> None:
    @task
    def length_of(value: bytes) -> int:
        return len(value)

    @flow(task_runner=own)
    def passed_on() -> tuple[list[int], int]:
        learn(large, 0)
        before = own.bytes_through_flow
        lengths = length_of.map(large.map(range(10))).result()
        return lengths, own.bytes_through_flow - before

    lengths, moved = passed_on()
    assert lengths == [LARGE] * 10
    assert moved < 10_000


def test_a_value_that_is_large_for_once(own: DaskTaskRunner) -> None:
    @task
    async def grown(length: int) -> bytes:
        return bytes(length)

    @flow(task_runner=own)
    def grows() -> list[int]:
        learn(grown, 0)
        return [len(grown.submit(5_000_000).result()) for _ in range(2)]

    assert grows() == [5_000_000] * 2


def test_calls_are_shared_out_to_all_event_loops(own: DaskTaskRunner, place: str) -> None:
    @flow(task_runner=own)
    def shared_out() -> tuple[Any, int]:
        note(f"{place}-before", "go")
        learn(waits_for, 0, f"{place}-before")
        note(place, "go")
        return during(own, lambda: waits_for.map(range(40), place).result())

    assert shared_out() == (list(range(40)), 0)
    places = [what for what in done(place) if what.startswith("in ")]
    assert len(places) == 2


def test_a_worker_that_is_killed_while_calls_wait(own: DaskTaskRunner, place: str) -> None:
    numbers = range(1, 21)

    @flow(task_runner=own)
    def killed() -> tuple[Any, int]:
        note(f"{place}-before", "go")
        learn(waits_for, 0, f"{place}-before")

        def work() -> list[int]:
            waiting = waits_for.map(numbers, place)
            assert eventually(lambda: all(done(place)[f"{each} begun"] for each in numbers))
            os.kill(worker_pids(own)[0], signal.SIGKILL)
            assert eventually(lambda: sum(done(place)[f"{each} begun"] for each in numbers) == 30)
            note(place, "go")
            return waiting.result()

        return during(own, work)

    values, _ = killed()
    assert values == list(numbers)
    begun = done(place)
    assert sorted(begun[f"{each} begun"] for each in numbers) == [1] * 10 + [2] * 10
    assert counts_of(killed)["waits_for-1"] == {"Completed": 20}
    assert eventually(lambda: lines_are_ready(own))


def test_a_call_that_ends_its_worker_crashes_alone(own: DaskTaskRunner) -> None:
    @task
    async def dies_at(number: int, deadly: int) -> int:
        await asyncio.sleep(0.01 * (number % 7))
        if number == deadly:
            os._exit(3)
        return number

    @flow(task_runner=own)
    def deadly() -> tuple[Any, int]:
        learn(dies_at, 0, -1)
        return during(own, lambda: dies_at.map(range(600), 137).result(raise_on_failure=False))

    values, _ = deadly()
    error = values.pop(137)
    assert isinstance(error, CrashedRun)
    assert "Dask worker" in str(error)
    assert values == [number for number in range(600) if number != 137]
    assert counts_of(deadly)["dies_at-1"] == {"Completed": 599, "Crashed": 1}
    assert eventually(lambda: lines_are_ready(own))


def test_a_cancelled_call_leaves_its_worker_and_its_neighbours_alone(
    own: DaskTaskRunner, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_lines, "_CANCEL_SECONDS", 60.0)  # a loaded machine may need longer
    alone = waits_for.with_options(batch_size=1)

    @flow(task_runner=own)
    def cancelled() -> tuple[Any, int]:
        note(f"{place}-before", "go")
        learn(alone, 0, f"{place}-before")
        assert eventually(lambda: lines_are_ready(own))
        pids = worker_pids(own)

        def work() -> list[int]:
            first, *others = [alone.submit(number, place) for number in range(6)]
            assert eventually(lambda: all(done(place)[f"{each} begun"] for each in range(6)))
            assert first.cancel()
            with pytest.raises(CancelledRun):
                first.result()
            assert eventually(lambda: sum(len(w.batches) for w in lines_of(own)._workers) == 5)
            note(place, "go")
            return [each.result() for each in others]

        found = during(own, work)
        assert sorted(worker_pids(own)) == sorted(pids)
        return found

    assert cancelled() == ([1, 2, 3, 4, 5], 0)
    assert all(done(place)[f"{number} begun"] == 1 for number in range(6))


@pytest.mark.parametrize("stubborn", [blocks, cannot_be_cancelled], ids=str)
def test_a_loop_that_does_not_get_away_from_what_was_cancelled(
    own: DaskTaskRunner, place: str, stubborn: Any
) -> None:
    @flow(task_runner=own)
    def stuck() -> tuple[list[int], set[int]]:
        learn(stubborn, -1, place)
        learn(add_one, 0)
        assert eventually(lambda: lines_are_ready(own))
        pids = pids_of_lines(own)
        calls = stubborn.map(range(2), place)  # one for each loop
        assert eventually(lambda: done(place).total() == 2)
        behind = add_one.map(range(10))
        assert calls.cancel()
        return behind.result(timeout=60), pids

    values, pids = stuck()
    assert values == list(range(1, 11))
    assert eventually(lambda: lines_are_ready(own) and not pids & pids_of_lines(own))
    assert not lines_of(own).is_busy


def test_log_lines_come_while_a_call_waits(own: DaskTaskRunner, place: str) -> None:
    @task
    async def speaks(number: int, place: str) -> int:
        get_run_logger().info("number %d", number)
        return await waits_for.fn(number, place)

    @flow(task_runner=own)
    def spoken() -> tuple[Any, int]:
        note(f"{place}-before", "go")
        learn(speaks, 0, f"{place}-before")

        def work() -> int:
            call = speaks.submit(1, place)
            assert eventually(lambda: "number 1" in messages_of(run_of(spoken)))
            note(place, "go")
            return call.result()

        return during(own, work)

    assert spoken() == (1, 0)
    assert messages_of(run_of(spoken)) == ["number 0", "number 1"]


def test_garbage_is_not_looked_for_in_what_dask_imports(own: DaskTaskRunner) -> None:
    flow(lambda: add_one.submit(1).result(), name="started", task_runner=own)()
    assert eventually(lambda: lines_are_ready(own))
    frozen = client_of(own).run(gc.get_freeze_count).values()
    assert all(count > 50_000 for count in frozen)


def test_two_threads_share_one_event_loop() -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1, "threads_per_worker": 2}) as runner:

        @flow(task_runner=runner)
        def whole() -> tuple[Any, int]:
            learn(add_one, 0)
            return during(runner, lambda: add_one.map(range(100)).result())

        assert whole() == (list(range(1, 101)), 0)
