"""What people really write, cases 14, 15, 18 and 19: live objects, changed arguments, loops."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from dataflow import as_completed, flow, runtime, task, unmapped
from dataflow.errors import TransferError
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def double(x):
    return 2 * x


@task
def total(values):
    return sum(values)


# --- 14: live arguments that do not pickle -------------------------------------------------------


class Engine:
    """A database engine: it has a lock and cannot leave the process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def query(self, x: int) -> int:
        with self.lock:
            return x + 1


@task
def query(engine, x):
    return engine.query(x)


@task
def query_settings(x, options=None):
    return options["db"]["engine"].query(x)


@flow
def live_arguments():
    engine = Engine()
    return (
        query.submit(engine, 1),
        query.map(unmapped(engine), [1, 2]),
        query_settings.submit(3, options={"db": {"engine": engine}}),
    )


@flow
def live_arguments_called():
    engine = Engine()
    return query(engine, 1), query_settings(2, options={"db": {"engine": engine}})


@task
def parameter_of_the_run(name):
    return (runtime.flow_run.parameters or {})[name]


@flow(validate_parameters=False)
def takes_an_engine(engine, data):
    return (
        parameter_of_the_run.submit("data").result(),
        parameter_of_the_run.map(["engine"]).result()[0],
        engine.query(1),
    )


@pytest.mark.parametrize("data", ["few", "x" * 100_000])
def test_parameters_that_cannot_be_sent_keep_nothing_from_running(
    data: str, shares_objects: bool
) -> None:
    engine = Engine()
    found, seen, queried = takes_an_engine(engine, data)
    assert (found, queried) == (data, 2)
    assert seen is engine if shares_objects else seen == repr(engine)


def test_live_arguments_stay_in_the_process(shares_objects: bool) -> None:
    assert live_arguments_called() == (2, 3)
    if shares_objects:
        assert live_arguments() == (2, [2, 3], 4)
        return
    with pytest.raises(TransferError) as caught:
        live_arguments()
    message = str(caught.value)
    assert "'query'" in message
    assert "'engine'" in message
    assert "threads" in message


def _submit_one(kind: str) -> Any:
    engine = Engine()
    if kind == "nested":
        return query_settings.submit(3, options={"db": {"engine": engine}})
    if kind == "unmapped":
        return query.map(unmapped(engine), [1, 2])
    return query.map([engine, Engine()], [1, 2])


@pytest.mark.parametrize(
    ("kind", "task_name", "parameter"),
    [
        ("nested", "query_settings", "options"),
        ("unmapped", "query", "engine"),
        ("mapped", "query", "engine[0]"),
    ],
)
def test_the_error_names_task_and_parameter(
    shares_objects: bool, kind: str, task_name: str, parameter: str
) -> None:
    @flow(name="live")
    def live():
        return _submit_one(kind)

    if shares_objects:
        assert live() in (4, [2, 3])
        return
    with pytest.raises(TransferError) as caught:
        live()
    assert f"{parameter!r}" in str(caught.value)
    assert f"{task_name!r}" in str(caught.value)


@flow
def live_result():
    bad = make_lock.submit()
    good = double.submit(1)
    return type(bad.result(raise_on_failure=False)).__name__, bad.state.name, good.result()


@task
def make_lock():
    return threading.Lock()


def test_a_result_that_cannot_leave_its_process(shares_objects: bool) -> None:
    if shares_objects:
        assert live_result() == ("lock", "Completed", 2)
        return
    assert live_result() == ("TransferError", "Failed", 2)
    element = run_of(live_result).element("make_lock-0")
    assert "make_lock" in (element.state.message or "")


# --- 15: what cannot be hashed -------------------------------------------------------------------


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")


@task
def take(value, *rest):
    return type(value).__name__


@flow
def unhashable():
    value = Unhashable()
    return (
        take.submit(value),
        take.map([value, {"a": [value]}]),
        take(value),
        take.map(unmapped(value), [1]),
    )


def test_inputs_that_cannot_be_hashed_never_fail_a_task() -> None:
    assert unhashable() == ("Unhashable", ["Unhashable", "dict"], "Unhashable", ["Unhashable"])


# --- 18: arguments changed after submit ----------------------------------------------------------


@flow
def batches():
    futures, batch = [], []
    for number in range(20):
        batch.append(number)
        if len(batch) == 5:
            futures.append(total.submit(batch))
            batch = []
    return futures


@flow
def batches_cleared():
    futures, batch = [], []
    for number in range(20):
        batch.append(number)
        if len(batch) == 5:
            futures.append(total.submit(batch))
            batch.clear()
    return futures


@flow
def rows_changed():
    row = {"n": 0, "parts": [1]}
    futures = []
    for number in range(5):
        row["n"] = number
        row["parts"].append(number)  # type: ignore[attr-defined]
        futures.append(read.submit(row))
    mapped = read.map([row, row])
    row["n"] = 99
    return futures, mapped


@task
def read(row):
    return row["n"], len(row["parts"])


def test_a_batch_list_that_is_made_anew() -> None:
    assert batches() == [10, 35, 60, 85]


def test_tasks_see_what_they_were_given_when_they_were_submitted(runner: str) -> None:
    if runner == "threads":
        pytest.skip("threads share the objects that they are given")
    assert batches_cleared() == [10, 35, 60, 85]
    expected = [(n, n + 2) for n in range(5)]
    assert rows_changed() == (expected, [(4, 6), (4, 6)])


@task
def first_of(array, nothing=0):
    return float(array[0])


@flow
def arrays_changed(size):
    array = np.zeros(size)
    futures = [
        first_of.submit(array),
        first_of.map([array, array])[1],
        first_of.map(unmapped(array), [1, 2])[1],
        first_of.submit([array[0], array[1:]]),
    ]
    array[:] = 1
    changed = first_of.submit(array)
    return [future.result() for future in (*futures, changed)]


@flow
def bytes_changed(size):
    data = bytearray(size)
    futures = [
        first_of.submit(data),
        first_of.map([data, bytearray(1)])[0],
        first_of.map(unmapped(data), [1, 2])[1],
    ]
    data[0] = 1
    return [future.result() for future in (*futures, first_of.submit(data))]


@pytest.mark.parametrize("size", [10, 100_000])
def test_bytearrays_are_what_they_were_when_they_were_passed(runner: str, size: int) -> None:
    if runner == "threads":
        pytest.skip("threads share the objects that they are given")
    assert bytes_changed(size) == [0, 0, 0, 1]


@pytest.mark.parametrize("size", [10, 100_000])
def test_arrays_are_what_they_were_when_they_were_passed(runner: str, size: int) -> None:
    if runner == "threads":
        pytest.skip("threads share the objects that they are given")
    assert arrays_changed(size) == [0, 0, 0, 0, 1]


@task
def overwrite(array):
    before = float(array.sum())
    array[:] = 7
    return before


@flow
def arrays_overwritten():
    array = np.zeros(100_000)
    return [overwrite.submit(array).result() for _ in range(6)]


def test_what_a_task_does_to_its_arguments_no_other_sees(shares_objects: bool) -> None:
    assert arrays_overwritten() == ([0, *[700_000.0] * 5] if shares_objects else [0] * 6)


@task
def zeros(size):
    return [0] * size


@task
def grown(values, more=None):
    values.append(1)
    return values


@task
def length_of(values):
    return len(values)


@task
def are_same(first, second):
    return first is second


@flow
def results_changed(size):
    first = zeros.submit(size)
    first.wait()
    beside = [grown.submit(first) for _ in range(20)]
    chain = [zeros.submit(size)]
    for _ in range(5):
        chain.append(grown.submit(chain[-1]))
    lengths = [length_of.submit(value) for value in chain]
    whole = [grown.submit(beside[:2]) for _ in range(3)]
    return (
        {len(future.result()) - size for future in beside},
        [len(future.result()) - size for future in chain],
        [future.result() - size for future in lengths],
        {len(future.result()) for future in whole},
        are_same.submit(first, first).result(),
    )


@pytest.mark.parametrize("size", [3, 50_000])
def test_what_a_task_does_to_a_result_no_other_sees(shares_objects: bool, size: int) -> None:
    if shares_objects:
        pytest.skip("threads share the results of their tasks")
    expected = list(range(6))
    assert results_changed(size) == ({1}, expected, expected, {3}, True)


@flow
def mapped_results_changed(size):
    first = zeros.map([size] * 10)
    second = grown.map(first)
    third = grown.map(second)
    fourth = grown.map(first)
    fifth = grown.map(first, second)
    maps = (first, second, third, fourth, fifth)
    return [{len(value) - size for value in futures.result()} for futures in maps]


@pytest.mark.parametrize("size", [3, 50_000])
def test_what_a_map_does_to_results_no_other_sees(shares_objects: bool, size: int) -> None:
    if shares_objects:
        pytest.skip("threads share the results of their tasks")
    assert mapped_results_changed(size) == [{0}, {1}, {2}, {1}, {1}]


@task
def locked(_n):
    return threading.Lock()


@task
def is_locked(lock):
    return lock.locked()


@flow
def live_results_handed_on():
    locks = locked.map([1, 2])
    mapped = is_locked.map(locks)
    lock = locked.submit(1)
    single = is_locked.submit(lock)
    futures = [*locks, *mapped, lock, single]
    for future in futures:
        future.wait()
    return [future.state.name for future in futures]


def test_who_is_handed_a_result_that_does_not_pickle_is_not_ready(shares_objects: bool) -> None:
    if shares_objects:
        assert set(live_results_handed_on()) == {"Completed"}
    else:
        failed, skipped = ["Failed"], ["NotReady"]
        assert live_results_handed_on() == 2 * failed + 2 * skipped + failed + skipped


@flow
def map_source_changed():
    source = [1, 2, 3]
    futures = double.map(source)
    source.append(4)
    source[0] = 100
    return futures


def test_the_list_that_is_mapped_over_may_change_afterwards() -> None:
    assert map_source_changed() == [2, 4, 6]


# --- 19: loops, windows, futures as keys ---------------------------------------------------------


@flow
def keyed():
    by_future = {double.submit(n): f"item {n}" for n in range(4)}
    by_future.update(dict.fromkeys(double.map([10]), "mapped"))
    return {by_future[future]: future.result() for future in as_completed(by_future)}


def test_futures_are_keys() -> None:
    expected = {"item 0": 0, "item 1": 2, "item 2": 4, "item 3": 6, "mapped": 20}
    assert keyed() == expected


@flow
def windows(count, window):
    waiting: list[Any] = []
    values: list[int] = []
    for number in range(count):
        waiting.append(double.submit(number))
        if len(waiting) >= window:
            values += [future.result() for future in waiting]
            waiting.clear()
    return values + [future.result() for future in waiting]


@pytest.mark.parametrize("window", [1, 7, 50])
def test_windows_that_bound_memory(window: int) -> None:
    assert windows(60, window) == [2 * n for n in range(60)]


@flow
def chunks():
    values: list[int] = []
    for start in range(0, 200, 50):
        values += double.map(range(start, start + 50)).result()
    return values


def test_chunk_loops() -> None:
    assert chunks() == [2 * n for n in range(200)]


@flow
def sliding():
    waiting = {double.submit(n) for n in range(3)}
    rest = iter(range(3, 10))
    found = []
    while waiting:
        ended = next(iter(as_completed(waiting)))
        waiting.discard(ended)
        found.append(ended.result())
        waiting |= {double.submit(n) for n in itertools.islice(rest, 1)}
    return sorted(found)


def test_a_sliding_window_over_as_completed() -> None:
    assert sliding() == [2 * n for n in range(10)]


@flow
def dropped():
    future = double.submit(1)
    handle = weakref.ref(future)
    del future
    futures = double.map(range(100))
    del futures
    return handle() is None


def test_futures_may_be_dropped() -> None:
    assert dropped() is True
    assert counts_of(dropped) == {"double-0": {"Completed": 1}, "double-1": {"Completed": 100}}
