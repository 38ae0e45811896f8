"""Workers that die: what they had runs again, and only the element at fault is Crashed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow import ProcessPoolTaskRunner, as_completed, flow, task
from dataflow.errors import CrashedRun, UpstreamTaskError
from tests.runners.programs import wait_until
from tests.runners.stored import counts_of, run_of


@pytest.fixture
def pool() -> Iterator[ProcessPoolTaskRunner]:
    """A pool of this test's own, whose workers it may kill."""
    with ProcessPoolTaskRunner(max_workers=2) as runner:
        yield runner


@task
def dies_at(x, deadly):
    if x == deadly:
        os._exit(3)
    return x


@task
def add_one(x):
    return x + 1


@pytest.mark.parametrize("size", [None, 1, 7])
def test_an_element_that_ends_its_worker_crashes_alone(
    pool: ProcessPoolTaskRunner, size: int | None
) -> None:
    @flow(name="deadly", task_runner=pool)
    def deadly():
        futures = dies_at.with_options(batch_size=size).map(range(50), deadly=13)
        return futures.result(raise_on_failure=False)

    values = deadly()
    error = values.pop(13)
    assert values == [n for n in range(50) if n != 13]
    assert isinstance(error, CrashedRun)
    assert "status 3" in str(error)
    assert counts_of(deadly) == {"dies_at-0": {"Completed": 49, "Crashed": 1}}
    assert run_of(deadly).element("dies_at-0", 13).state.name == "Crashed"


def test_several_deadly_elements_of_a_fused_map(pool: ProcessPoolTaskRunner) -> None:
    @task
    def dies_often(x):
        if x % 20 == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    @flow(name="often", task_runner=pool)
    def often():
        first = dies_often.map(range(60))
        return add_one.map(first).result(raise_on_failure=False), [s.name for s in first.states()]

    values, states = often()
    deadly = {7, 27, 47}
    assert [n for n, state in enumerate(states) if state == "Crashed"] == sorted(deadly)
    assert all(values[n] == n + 1 for n in range(60) if n not in deadly)
    assert counts_of(often)["add_one-0"] == {"Completed": 57, "NotReady": 3}


def test_a_deadly_submit_among_others(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="submits", task_runner=pool)
    def submits():
        futures = [dies_at.submit(n, 5) for n in range(20)]
        after = add_one.submit(futures[5])
        return [future.result(raise_on_failure=False) for future in [*futures, after]]

    values = submits()
    assert isinstance(values.pop(), UpstreamTaskError)
    assert isinstance(values.pop(5), CrashedRun)
    assert values == [n for n in range(20) if n != 5]
    assert counts_of(submits)["add_one-0"] == {"NotReady": 1}
    assert sum(c == {"Completed": 1} for c in counts_of(submits).values()) == 19


@task
def naps(x, folder):
    (Path(folder) / f"{x}-{os.getpid()}").touch()
    time.sleep(0.05)
    return x


@pytest.mark.parametrize("whom", ["one", "all"])
def test_killed_workers_are_replaced_and_what_they_had_runs_again(
    pool: ProcessPoolTaskRunner, tmp_path: Path, whom: str
) -> None:
    @flow(name="killed", task_runner=pool)
    def killed():
        futures = naps.map(range(40), folder=str(tmp_path))
        next(iter(as_completed(futures)))
        before = pool.worker_pids()
        assert len(before) == 2
        for pid in before if whom == "all" else before[:1]:
            os.kill(pid, signal.SIGKILL)
        return futures.result(), before

    values, before = killed()
    assert values == list(range(40))
    assert counts_of(killed) == {"naps-0": {"Completed": 40}}
    wait_until(lambda: len(pool.worker_pids()) == 2, "workers are not replaced")
    assert set(pool.worker_pids()) != set(before)
    wait_until(lambda: not any(map(_is_alive, before[:1])), "the killed worker is still there")


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_worker_that_dies_between_two_flows(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="quick", task_runner=pool)
    def quick():
        return add_one.map(range(10))

    assert quick() == list(range(1, 11))
    wait_until(lambda: len(pool.worker_pids()) == 2, "no workers")
    for pid in pool.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert quick() == list(range(1, 11))


def test_values_in_shared_memory_survive_their_worker(pool: ProcessPoolTaskRunner) -> None:
    @task
    def large(x):
        return bytes([x]) * 3_000_000

    @task
    def size(value):
        return len(value), value[0]

    @flow(name="large", task_runner=pool)
    def shared():
        made = large.map([1, 2, 3])
        made.wait()
        for pid in pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        return size.map(made), [len(value) for value in made.result()]

    assert shared() == ([(3_000_000, n) for n in (1, 2, 3)], [3_000_000] * 3)


def test_a_deadly_async_task(pool: ProcessPoolTaskRunner) -> None:
    @task
    async def dies(x):
        if x == 2:
            os._exit(1)
        return x

    @flow(name="dies-async", task_runner=pool)
    def dies_async() -> Any:
        return dies.map(range(4)).result(raise_on_failure=False)

    values = dies_async()
    assert isinstance(values[2], CrashedRun)
    assert [values[n] for n in (0, 1, 3)] == [0, 1, 3]
