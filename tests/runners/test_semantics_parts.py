"""What shares a batch does not show: a slow neighbour hides nothing that others have done.

The slow ones wait until the flow has seen the others' results, and would wait for ever without.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dataflow import allow_failure, as_completed, flow, task, unmapped
from tests.runners.stored import counts_of, run_of

SECONDS = 30


@pytest.fixture(autouse=True, params=("threads", "processes", "dask"))
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All but inline, which carries out neighbours one after the other in the thread that asks."""
    monkeypatch.setenv("DATAFLOW_RUNNER", request.param)
    name: str = request.param
    return name


def show(path: Path, text: str) -> None:
    """Let the slow ones see this: all of it at once."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def wait_for_file(path: Path) -> str:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody saw what the others did")
        time.sleep(0.01)
    return path.read_text()


@task
def note(value, path: Path):
    return value if value != "slow" else wait_for_file(path)


@task
def add_one(value):
    return value + 1


@task
def follow(value, path: Path):
    return value, wait_for_file(path)


def test_elements_of_a_map_beside_a_slow_one(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @flow
    def beside():
        values = [1, 2, 3, "slow", 5]
        futures = note.map(values, path=unmapped(path))
        show(path, str([future.result(timeout=SECONDS) for future in futures[:3]]))
        return futures.result()

    assert beside() == [1, 2, 3, "[1, 2, 3]", 5]
    assert counts_of(beside) == {"note-0": {"Completed": 5}}


def test_a_call_before_a_slow_one_in_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @flow
    def chain():
        first = add_one.submit(1)
        second = follow.submit(first, path)
        third = add_one.submit(5, wait_for=[second])
        show(path, str(first.result(timeout=SECONDS)))
        return first.result(), second.result(), third.result()

    assert chain() == (2, (2, "2"), 6)


def test_a_stage_before_a_slow_one_in_fused_maps(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @flow
    def stages():
        first = add_one.map(range(4))
        second = follow.map(first, path=unmapped(path))
        done = next(iter(as_completed(first, timeout=SECONDS)))
        show(path, str(done.result()))
        return first.result(), second.result()

    first, second = stages()
    assert first == [1, 2, 3, 4]
    assert [value for value, _ in second] == first
    assert list(counts_of(stages).values()) == [{"Completed": 4}] * 2


def test_a_failure_beside_a_slow_one(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @task
    def halve(value):
        if value == "slow":
            return wait_for_file(path)
        if value % 2:
            raise ValueError(value)
        return value // 2

    @flow
    def failing():
        futures = halve.map([2, 3, "slow", 4])
        error = futures[1].result(timeout=SECONDS, raise_on_failure=False)
        show(path, repr(error))
        return note.map(allow_failure(futures), path=unmapped(path)).result()

    first, second, third, fourth = failing()
    assert (first, third, fourth) == (1, "ValueError(3)", 2)
    assert isinstance(second, ValueError)


async def wait_for_file_async(path: Path) -> str:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody saw what the others did")
        await asyncio.sleep(0.01)
    return path.read_text()


@task(retries=2, retry_delay_seconds=0.01)
async def note_async(value, path: Path):
    from dataflow import runtime

    if value == "slow":
        return await wait_for_file_async(path)
    if value % 10 == 3 and runtime.task_run.run_count < 3:
        raise ValueError(value)
    await asyncio.sleep(0.001)
    return value


def test_async_calls_beside_slow_ones(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @flow
    def concurrent():
        values = [0, "slow", *range(2, 40), "slow", 41]
        futures = note_async.map(values, path=unmapped(path))
        done = [future for future, value in zip(futures, values, strict=True) if value != "slow"]
        show(path, str(sum(future.result(timeout=SECONDS) for future in done)))
        return futures.result()

    total = sum(range(2, 40)) + 41
    assert concurrent() == [0, str(total), *range(2, 40), str(total), 41]
    assert counts_of(concurrent) == {"note_async-0": {"Completed": 42}}
    element = run_of(concurrent).element("note_async-0", 3)
    assert [attempt.state.name for attempt in element.attempts] == ["Failed", "Failed", "Completed"]


def test_more_slow_async_calls_than_workers_keep_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @flow
    def crowd():
        slow = note_async.map(["slow"] * 20, path=unmapped(path))
        quick = [note_async.submit(number, path) for number in (1, 2)]
        plain = add_one.map(range(10))
        show(path, str([future.result(timeout=SECONDS) for future in quick]))
        assert plain.result(timeout=SECONDS) == list(range(1, 11))
        return set(slow.result())

    assert crowd() == {"[1, 2]"}


@task
async def outer(value):
    return inner.submit(value).result() + await inner.submit(value)


@task
async def inner(value):
    await asyncio.sleep(0)
    return value + 1


def test_an_async_task_may_wait_for_another_without_await() -> None:
    @flow
    def nested():
        return outer.map(range(3)).result()

    assert nested() == [2, 4, 6]


def test_what_waits_behind_a_call_that_was_thought_to_be_short(tmp_path: Path) -> None:
    """Workers hold a second batch, so that they are never idle; it goes to another in time."""
    path = tmp_path / "seen"

    @flow
    def surprised():
        alone = note.with_options(batch_size=1)
        for number in range(3):
            alone.submit(number, path).result()
        futures = [alone.submit(value, path) for value in ("slow", *range(6))]
        show(path, str(sum(future.result(timeout=SECONDS) for future in futures[1:])))
        return futures[0].result()

    assert surprised() == "15"


def test_what_waits_while_async_calls_run_too(tmp_path: Path) -> None:
    path = tmp_path / "seen"

    @flow
    def surprised():
        alone = note.with_options(batch_size=1)
        for number in range(3):
            alone.submit(number, path).result()
        slow = alone.submit("slow", path)
        quick = [alone.submit(number, path) for number in range(3)]
        waiting = note_async.map([1, 2, 3], path=unmapped(path))
        quick += [alone.submit(number, path) for number in range(3)]
        total = sum(future.result(timeout=SECONDS) for future in [*quick, *waiting])
        show(path, str(total))
        return slow.result()

    assert surprised() == "12"


@task
def hand_over(number, folder: Path):
    """The first waits for what those behind it write, and they for nobody."""
    if number:
        show(folder / str(number), "here")
        return number
    for other in (1, 2, 3):
        wait_for_file(folder / str(other))
    return number


@flow
def queued_behind_one(folder: Path):
    hand_over.map(
        range(100, 150), folder=unmapped(folder)
    ).result()  # now it is known how long it takes
    return hand_over.map(range(8), folder=unmapped(folder)).result()


@flow
def submitted_behind_one(folder: Path):
    hand_over.map(range(100, 150), folder=unmapped(folder)).result()
    futures = [hand_over.submit(number, folder) for number in range(8)]
    return [future.result() for future in futures]


@flow
def fused_behind_one(folder: Path):
    add_one.map(hand_over.map(range(100, 150), folder=unmapped(folder))).result()
    return add_one.map(hand_over.map(range(8), folder=unmapped(folder))).result()


def test_what_a_batch_has_behind_a_slow_call_begins_elsewhere(tmp_path: Path) -> None:
    for number, run in enumerate((queued_behind_one, submitted_behind_one, fused_behind_one)):
        folder = tmp_path / str(number)
        folder.mkdir()
        first = 1 if run is fused_behind_one else 0
        assert run(folder) == list(range(first, first + 8))
    both = {"Completed": 50}, {"Completed": 8}
    assert sorted(counts_of(fused_behind_one).values(), key=str) == sorted(2 * both, key=str)
