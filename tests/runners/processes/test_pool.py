"""The process pool: large values, small messages, and processes that come and go."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from dataflow import (
    DaskTaskRunner,
    ProcessPoolTaskRunner,
    ThreadPoolTaskRunner,
    flow,
    runtime,
    task,
    unmapped,
)
from dataflow.errors import RunnerUnavailable
from runners.messages import load_report
from tests.runners.programs import wait_until

SIZE = 4_000_000


@pytest.fixture
def pool() -> Iterator[ProcessPoolTaskRunner]:
    with ProcessPoolTaskRunner(max_workers=2) as runner:
        yield runner


@task
def make(seed: int) -> Any:
    return np.full(SIZE // 8, seed, dtype="float64")


@task(resources={"own": 1})  # not fused with what comes before it
def change(values: Any) -> Any:
    values += 1
    return values


@task
def total(*many: Any) -> float:
    return float(sum(values.sum() for values in many))


@task
def pick(index: int, values: Any) -> float:
    return float(values[index])


@flow
def chain_and_fan_in() -> float:
    made = [make.submit(seed) for seed in range(4)]
    changed = [change.submit(values) for values in made]
    again = change.map(changed)
    result: float = total.submit(*again).result()
    return result


def test_large_values_do_not_pass_through_the_flow(pool: ProcessPoolTaskRunner) -> None:
    result = chain_and_fan_in.with_options(task_runner=pool)()
    assert result == sum(seed + 2 for seed in range(4)) * SIZE / 8
    assert pool.bytes_through_flow < 100_000


def test_a_large_constant_is_sent_once(pool: ProcessPoolTaskRunner) -> None:
    @flow(task_runner=pool)
    def broadcast() -> Any:
        values = np.arange(SIZE // 8, dtype="float64")
        return pick.with_options(batch_size=1).map(range(50), unmapped(values)).result()

    assert broadcast() == [float(index) for index in range(50)]
    assert pool.bytes_through_flow < 200_000


def test_large_results_are_read_by_the_flow(pool: ProcessPoolTaskRunner) -> None:
    @flow(task_runner=pool)
    def read() -> Any:
        future = make.submit(3)
        values = future.result()
        values += 1  # ours: nobody else sees it
        return values[0], total.submit(future).result()

    assert read() == (4.0, 3.0 * SIZE / 8)


def test_shared_memory_is_given_back(pool: ProcessPoolTaskRunner) -> None:
    chain_and_fan_in.with_options(task_runner=pool)()
    assert pool._pool is not None
    folder = Path(pool._pool.folders.memory)
    import gc

    deadline = time.monotonic() + 60
    while list(folder.iterdir()):
        gc.collect()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_worker_is_replaced(pool: ProcessPoolTaskRunner) -> None:
    @flow(task_runner=pool)
    def twice() -> Any:
        before = pick.map(range(3), unmapped([1, 2, 3])).result()
        for pid in pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        return before, pick.map(range(3), unmapped([1, 2, 3])).result()

    assert twice() == ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])


@task
def end_the_zygote_once(place: Path) -> bool:
    if place.exists():
        return False
    place.touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    return True


@pytest.mark.parametrize("retries", [0, 1])
def test_another_pool_takes_the_place_of_one_that_cannot_fork(
    pool: ProcessPoolTaskRunner, retries: int, tmp_path: Path
) -> None:
    @flow(task_runner=pool, retries=retries)
    def loses_its_pool() -> Any:
        return end_the_zygote_once.submit(tmp_path / "ended").result()

    if not retries:
        with pytest.raises(RunnerUnavailable, match="The process pool failed"):
            loses_its_pool()
    assert loses_its_pool() is False


@task(batch_size=1)
def wait_for_file(place: Path) -> bool:
    wait_until(place.exists, "the file")
    return True


def test_a_batch_handed_back_after_the_late_one_ended_runs(tmp_path: Path) -> None:
    with ProcessPoolTaskRunner(max_workers=1) as runner:

        @flow(task_runner=runner)
        def late() -> Any:
            place = tmp_path / "place"
            place.touch()
            assert wait_for_file.submit(place).result()  # the worker knows the task now
            place.unlink()
            pool, back = runner._pool, []
            assert pool is not None
            take = pool._take_messages

            def take_back_later(worker: Any, messages: list[Any]) -> None:
                for message in messages:
                    if message[0] == "back":
                        back.append(message)
                        place.touch()  # now the call that was late can end
                        continue
                    take(worker, [message])
                    if message[0] == "report" and load_report(message[1]).final:
                        take(worker, back)
                        back.clear()

            with patch.object(pool, "_take_messages", take_back_later):
                return wait_for_file.map([place] * 3).result(timeout=60)

        assert late() == [True] * 3


@task
def never_seen_before() -> str:
    return "seen"


@pytest.mark.parametrize("freed", [1, 2])  # behind one of them the task is at first
def test_a_task_that_its_worker_has_not_seen_does_not_wait_behind_a_long_call(
    freed: int, tmp_path: Path
) -> None:
    with ProcessPoolTaskRunner(max_workers=2) as runner:

        @flow(task_runner=runner)
        def behind() -> Any:
            places = [tmp_path / name for name in ("known", "first", "second")]
            places[0].touch()
            wait_for_file.map([places[0]] * 4).result()
            long = wait_for_file.map(places[1:])
            wait_until(lambda: len(all_under_way(runner)) == 2, "both workers are at a call")
            other = never_seen_before.submit()
            wait_until(lambda: len(all_under_way(runner)) == 3, "it waits behind one of them")
            places[freed].touch()
            found = other.result(timeout=60)
            places[3 - freed].touch()
            return found, long.result()

        assert behind() == ("seen", [True, True])


def all_under_way(runner: ProcessPoolTaskRunner) -> list[int]:
    assert runner._pool is not None
    return [batch for worker in runner._pool.workers for batch in worker.batches]


def test_a_pool_that_was_closed_starts_again(pool: ProcessPoolTaskRunner) -> None:
    run = chain_and_fan_in.with_options(task_runner=pool)
    first = run()
    pool.close()
    assert pool.worker_pids() == []
    assert run() == first


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
@pytest.mark.parametrize("runner", [ProcessPoolTaskRunner, ThreadPoolTaskRunner])
def test_no_workers_are_refused(runner: Any, workers: Any) -> None:
    with pytest.raises(ValueError, match="max_workers must be a whole number, 1 or more"):
        runner(max_workers=workers)


@pytest.mark.parametrize(
    "sizes",
    [
        {"cluster_kwargs": {"n_workers": 0}},
        {"adapt_kwargs": {"minimum": 0, "maximum": 0}},
        {"adapt_kwargs": {"minimum": 5, "maximum": 1}},
        {"adapt_kwargs": {"minimum": -1}},
    ],
)
def test_a_cluster_that_could_never_have_workers_is_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="or more, not"):
        DaskTaskRunner(**sizes)


@task
def length_of(number, data):
    return len(data)


@pytest.mark.parametrize("kind", ["text", "bytes", "bytearray", "array"])
def test_a_large_argument_of_many_calls_is_sent_once(
    pool: ProcessPoolTaskRunner, kind: str
) -> None:
    size = 1_000_000
    kinds = {"text": "x" * size, "bytes": b"x" * size, "bytearray": bytearray(size)}
    data = np.zeros(size) if kind == "array" else kinds[kind]

    @flow(name=f"many-{kind}", task_runner=pool)
    def many():
        submitted = [length_of.submit(number, data) for number in range(50)]
        mapped = length_of.map(range(50), unmapped(data))
        return {future.result() for future in [*submitted, *mapped]}

    assert many() == {size}
    assert pool.bytes_through_flow < 200_000


@task
def length_of_parameter(number):
    return len((runtime.flow_run.parameters or {})["data"]) + number


def test_large_parameters_of_a_flow_are_sent_once(pool: ProcessPoolTaskRunner) -> None:
    @flow(task_runner=pool)
    def with_parameter(data: bytes):
        return [length_of_parameter.submit(number).result() for number in range(20)]

    assert with_parameter(b"x" * SIZE) == [SIZE + number for number in range(20)]
    assert pool.bytes_through_flow < 200_000


@task
def passed_over() -> int:
    return gc.get_freeze_count()


def test_a_worker_does_not_collect_what_it_was_forked_with(pool: ProcessPoolTaskRunner) -> None:
    @flow(task_runner=pool)
    def asked() -> int:
        return passed_over.submit().result()

    assert asked() > 0
