"""Values on Dask stay where they were made: what crosses to the flow's process is counted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dataflow import flow, task, unmapped
from runners.dask import DaskTaskRunner
from tests.runners.dask.pool import client_of, eventually, session_of, shared_runner

MEGABYTE = 125_000  # numbers
FEW_BYTES = 2_000


@pytest.fixture
def runner() -> DaskTaskRunner:
    """The shared one, whose cluster is there."""
    flow(lambda: size.submit(np.ones(1)).result(), name="warm", task_runner="dask")()
    return shared_runner()


@pytest.fixture
def crossed(runner: DaskTaskRunner) -> Iterator[Callable[[], int]]:
    before = runner.bytes_through_flow
    yield lambda: runner.bytes_through_flow - before


@task
def ones(count: int) -> Any:
    return np.ones(count)


@task
def halve(array: Any) -> Any:
    return array / 2


@task
def add(first: Any, second: Any) -> Any:
    return first + second


@task
def size(array: Any) -> int:
    return int(array.nbytes)


@task
def total(arrays: list[Any]) -> float:
    return float(sum(array.sum() for array in arrays))


alone = {"timeout_seconds": 60}  # what has a time limit shares no batch with others


def test_a_chain_of_batches(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def chained() -> Any:
        array = ones.with_options(**alone).submit(MEGABYTE)
        for _ in range(4):
            array = halve.with_options(**alone).submit(array)
        return size.with_options(**alone).submit(array).result()

    assert chained() == 8 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_a_chain_in_one_batch(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def chained() -> Any:
        array = ones.submit(MEGABYTE)
        for _ in range(4):
            array = halve.submit(array)
        return size.submit(array).result()

    assert chained() == 8 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_a_hundred_megabytes(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def large() -> Any:
        array = ones.submit(100 * MEGABYTE)
        return [size.submit(array), size.submit(halve.submit(array))]

    assert large() == [800 * MEGABYTE, 800 * MEGABYTE]
    assert crossed() < FEW_BYTES


def test_fan_in(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def joined() -> Any:
        return total.submit([ones.submit(MEGABYTE), ones.map([MEGABYTE] * 9)[2:5]]).result()

    @task
    def total(arrays: list[Any]) -> float:
        first, rest = arrays
        return float(first.sum() + sum(array.sum() for array in rest))

    assert joined() == 4 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_fan_in_of_a_whole_map(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def joined() -> Any:
        return total.submit(ones.map([MEGABYTE] * 10)).result()

    assert joined() == 10 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_maps_over_maps(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def mapped() -> Any:
        arrays = ones.with_options(**alone).map([MEGABYTE] * 8)
        both = add.with_options(**alone).map(arrays, halve.map(arrays))
        return sum(size.map(both).result())

    assert mapped() == 64 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_a_map_whose_length_is_found_on_the_worker(crossed: Callable[[], int]) -> None:
    @task
    def pieces() -> list[Any]:
        return [np.ones(MEGABYTE) for _ in range(5)]

    @flow(task_runner="dask")
    def dynamic() -> Any:
        return sum(size.map(pieces.submit()).result())

    assert dynamic() == 40 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_a_value_that_is_only_found_to_be_needed_later(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def late() -> Any:
        array = ones.submit(MEGABYTE)
        array.wait()
        return size.submit(array).result()

    assert late() == 8 * MEGABYTE
    assert crossed() < FEW_BYTES


def test_one_value_of_many_crosses_alone(crossed: Callable[[], int]) -> None:
    @flow(task_runner="dask")
    def picked() -> Any:
        arrays = ones.map([MEGABYTE] * 6)
        arrays.wait()
        return float(arrays[3].result().sum())

    assert picked() == MEGABYTE
    assert crossed() < 1.1 * 8 * MEGABYTE


def test_what_is_asked_for_arrives_whole() -> None:
    @flow(task_runner="dask")
    def fetched() -> Any:
        arrays = ones.map([MEGABYTE] * 6)
        halves = halve.map(arrays)
        return [array.sum() for array in arrays.result()], [half.sum() for half in halves.result()]

    assert fetched() == ([MEGABYTE] * 6, [MEGABYTE / 2] * 6)


def test_failed_elements_among_large_values() -> None:
    @task
    def picky(number: int) -> Any:
        if number % 3 == 1:
            raise ValueError(number)
        return np.full(MEGABYTE, number)

    @flow(task_runner="dask")
    def mixed() -> Any:
        values = picky.map(range(9)).result(raise_on_failure=False)
        return [
            str(value) if isinstance(value, ValueError) else float(value[0]) for value in values
        ]

    assert mixed() == [0, "1", 2, 3, "4", 5, 6, "7", 8]


def test_a_value_can_be_changed_by_each_that_gets_it() -> None:
    @task
    def spoil(array: Any) -> float:
        array += 1
        return float(array[0])

    @flow(task_runner="dask")
    def spoiled() -> Any:
        array = ones.submit(MEGABYTE)
        array.wait()
        futures = [spoil.submit(array) for _ in range(3)]
        return [future.result() for future in futures], float(array.result()[0])

    assert spoiled() == ([2.0, 2.0, 2.0], 1.0)


def test_values_are_released_when_nobody_can_ask_for_them(runner: DaskTaskRunner) -> None:
    @flow(task_runner="dask")
    def held() -> int:
        arrays = ones.map([MEGABYTE] * 4)
        arrays.wait()
        assert session_of(runner)._has_values
        return len(arrays)

    assert held() == 4

    def keys(dask_worker: Any) -> list[Any]:
        return [key for key in dask_worker.data if str(key).startswith("('ones")]

    assert eventually(lambda: not any(client_of(runner).run(keys).values()))


def test_a_large_constant_is_loaded_once_a_worker() -> None:
    table = {"rows": np.arange(MEGABYTE)}

    @task
    def look(number: int, table: Any) -> tuple[int, int, int]:
        return int(table["rows"][number]), os.getpid(), id(table)

    @flow(task_runner="dask")
    def looked() -> Any:
        return look.with_options(batch_size=10).map(range(200), unmapped(table)).result()

    found = looked()
    assert [number for number, _, _ in found] == list(range(200))
    assert len({where[1:] for where in found}) == len({pid for _, pid, _ in found})


def test_a_function_that_brings_much_along() -> None:
    weights = np.ones(MEGABYTE)

    @task
    def weigh(number: int) -> float:
        return float(weights[number]) + number

    @flow(task_runner="dask")
    def weighed() -> Any:
        return sum(weigh.map(range(50)).result())

    assert weighed() == 50 + sum(range(50))


def test_values_go_from_one_runner_to_another() -> None:
    @flow(task_runner="threads")
    def elsewhere(array: Any) -> int:
        return size.submit(array).result()

    @flow(task_runner="dask")
    def here() -> int:
        return elsewhere(ones.submit(MEGABYTE))

    assert here() == 8 * MEGABYTE


def test_a_value_for_which_its_worker_has_no_room_at_first(
    runner: DaskTaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(runner)
    gather, errors = client.gather, [OSError(errno.ENOSPC, "No space left on device")]

    def gather_later(*args: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return gather(*args, **options)

    monkeypatch.setattr(client, "gather", gather_later)

    @flow(task_runner=runner)
    def fetched() -> float:
        return float(ones.submit(MEGABYTE).result().sum())

    assert fetched() == MEGABYTE
    assert not errors
