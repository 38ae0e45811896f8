"""Workers that die: what they had runs again, and only the element at fault is Crashed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow import ProcessPoolTaskRunner, as_completed, flow
from dataflow.errors import CrashedRun, UpstreamTaskError
from tests.runners import deadly
from tests.runners.programs import is_alive, wait_until
from tests.runners.stored import counts_of, run_of


@pytest.fixture
def pool() -> Iterator[ProcessPoolTaskRunner]:
    """A pool of this test's own, whose workers it may kill."""
    with ProcessPoolTaskRunner(max_workers=2) as runner:
        yield runner


@pytest.mark.parametrize("size", [None, 1, 7])
def test_an_element_that_ends_its_worker_crashes_alone(
    pool: ProcessPoolTaskRunner, size: int | None
) -> None:
    @flow(name="deadly", task_runner=pool)
    def one_dies():
        futures = deadly.dies_at.with_options(batch_size=size).map(range(50), deadly=13)
        return futures.result(raise_on_failure=False)

    values = one_dies()
    error = values.pop(13)
    assert values == [n for n in range(50) if n != 13]
    assert isinstance(error, CrashedRun)
    assert "status 3" in str(error)
    assert counts_of(one_dies) == {"dies_at-0": {"Completed": 49, "Crashed": 1}}
    assert run_of(one_dies).element("dies_at-0", 13).state.name == "Crashed"


def test_a_deadly_call_among_many_concurrent_ones(
    pool: ProcessPoolTaskRunner, tmp_path: Path
) -> None:
    @flow(name="deadly-async", task_runner=pool)
    def one_dies():
        futures = deadly.dies_at_async.map(range(600), deadly=137)
        others = deadly.naps.map(range(40), folder=str(tmp_path)).result()
        return futures.result(raise_on_failure=False), others

    values, others = one_dies()
    assert isinstance(values.pop(137), CrashedRun)
    assert values == [n for n in range(600) if n != 137]
    assert others == list(range(40))
    assert counts_of(one_dies)["dies_at_async-0"] == {"Completed": 599, "Crashed": 1}


def test_a_call_that_only_dies_with_its_worker_is_timed_out_and_tried_again(
    pool: ProcessPoolTaskRunner,
) -> None:
    @flow(name="hangs", task_runner=pool)
    def hangs():
        return deadly.hangs_once.map(range(8)).result(), deadly.hangs_once.submit(3).result()

    assert hangs() == ([1, 1, 1, 2, 1, 1, 1, 1], 2)
    run = run_of(hangs)
    for element in (run.element("hangs_once-0", 3), run.element("hangs_once-1")):
        assert [(each.attempt, each.state.name) for each in element.attempts] == [
            (1, "TimedOut"),
            (2, "Completed"),
        ]
    told = [line.message for line in run.logs() if line.node is not None]
    assert len(told) == 2
    assert all(line.endswith("attempt 2 follows at once") for line in told)


def test_several_deadly_elements_of_a_fused_map(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="often", task_runner=pool)
    def often():
        first = deadly.dies_often.map(range(60))
        values = deadly.add_one.map(first).result(raise_on_failure=False)
        return values, [state.name for state in first.states()]

    values, states = often()
    killers = {7, 27, 47}
    assert [n for n, state in enumerate(states) if state == "Crashed"] == sorted(killers)
    assert all(values[n] == n + 1 for n in range(60) if n not in killers)
    assert counts_of(often)["add_one-0"] == {"Completed": 57, "NotReady": 3}


def test_a_deadly_element_of_a_later_stage(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="far", task_runner=pool)
    def far():
        first = deadly.add_one.map(range(-1, 19_999))
        second = deadly.dies_far_on.map(first)
        third = deadly.add_one.map(second)
        third.wait()
        return [[state.name for state in each.states()] for each in (first, second, third)]

    first, second, third = far()
    assert set(first) == {"Completed"}
    assert [at for at, name in enumerate(second) if name != "Completed"] == [deadly.FAR]
    assert second[deadly.FAR] == "Crashed"
    assert [at for at, name in enumerate(third) if name != "Completed"] == [deadly.FAR]


def test_a_deadly_submit_among_others(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="submits", task_runner=pool)
    def submits():
        futures = [deadly.dies_at.submit(n, 5) for n in range(20)]
        after = deadly.add_one.submit(futures[5])
        return [future.result(raise_on_failure=False) for future in [*futures, after]]

    values = submits()
    assert isinstance(values.pop(), UpstreamTaskError)
    assert isinstance(values.pop(5), CrashedRun)
    assert values == [n for n in range(20) if n != 5]
    assert counts_of(submits)["add_one-0"] == {"NotReady": 1}
    assert sum(c == {"Completed": 1} for c in counts_of(submits).values()) == 19


@pytest.mark.parametrize("whom", ["one", "all"])
def test_killed_workers_are_replaced_and_what_they_had_runs_again(
    pool: ProcessPoolTaskRunner, tmp_path: Path, whom: str
) -> None:
    @flow(name="killed", task_runner=pool)
    def killed():
        futures = deadly.naps.map(range(40), folder=str(tmp_path))
        next(iter(as_completed(futures)))
        wait_until(lambda: len(pool.worker_pids()) == 2, "a worker is missing")
        before = pool.worker_pids()
        for pid in before if whom == "all" else before[:1]:
            os.kill(pid, signal.SIGKILL)
        return futures.result(), before

    values, before = killed()
    assert values == list(range(40))
    assert counts_of(killed) == {"naps-0": {"Completed": 40}}
    wait_until(lambda: len(pool.worker_pids()) == 2, "workers are not replaced")
    assert set(pool.worker_pids()) != set(before)
    wait_until(lambda: not any(map(is_alive, before[:1])), "the killed worker is still there")


def test_a_death_is_told_with_its_cause_and_what_was_held(
    pool: ProcessPoolTaskRunner, tmp_path: Path
) -> None:
    @flow(name="told", task_runner=pool)
    def killed():
        futures = deadly.waits_to_be_ended.map(range(4), folder=str(tmp_path))
        wait_until((tmp_path / "at-it").exists, "the element has not begun")
        os.kill(int((tmp_path / "at-it").read_text()), signal.SIGKILL)
        return futures.result()

    killed()
    (line,) = [line for line in run_of(killed).logs() if line.logger == "dataflow.workers"]
    told = (
        r"Worker process \d+ died: it was ended by SIGKILL\. It held "
        r"waits_to_be_ended-0\[.*\], not ended yet\."
    )
    assert re.fullmatch(told, line.message)


def test_a_worker_that_dies_between_two_flows(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="quick", task_runner=pool)
    def quick():
        return deadly.add_one.map(range(10))

    assert quick() == list(range(1, 11))
    wait_until(lambda: len(pool.worker_pids()) == 2, "no workers")
    for pid in pool.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert quick() == list(range(1, 11))


def test_values_in_shared_memory_survive_their_worker(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="large", task_runner=pool)
    def shared():
        made = deadly.large.map([1, 2, 3])
        made.wait()
        for pid in pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        return deadly.size.map(made), [len(value) for value in made.result()]

    assert shared() == ([(3_000_000, n) for n in (1, 2, 3)], [3_000_000] * 3)


def test_a_deadly_async_task(pool: ProcessPoolTaskRunner) -> None:
    @flow(name="dies-async", task_runner=pool)
    def async_deaths() -> Any:
        return deadly.dies_async.map(range(4)).result(raise_on_failure=False)

    values = async_deaths()
    assert isinstance(values[2], CrashedRun)
    assert [values[n] for n in (0, 1, 3)] == [0, 1, 3]
