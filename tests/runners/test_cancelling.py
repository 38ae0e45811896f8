"""Cancelling: runs, futures and lists of them; states, hooks, and slots that come back."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from dataflow import cancel_flow_run, flow, records, task
from dataflow.errors import CancelledRun, RunFinishedError, UpstreamTaskError
from dataflow.testing import dataflow_test_harness
from tests.runners.programs import wait_until
from tests.runners.stored import run_of


@task
def naps_until_told(x, folder):
    """Ends when a file is there; begun ones leave one."""
    (Path(folder) / f"begun-{x}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return x


@task
def add_one(x):
    return x + 1


@pytest.fixture
def pooled(runner: str) -> str:
    """Runners whose tasks run beside the body."""
    if runner == "inline":
        pytest.skip("inline, a body that goes on has no task under way")
    return runner


@task
def catches_everything(x, folder):
    """Ends when it is interrupted for the third time."""
    for _ in range(3):
        with contextlib.suppress(BaseException):
            naps_until_told.fn(x, folder)
    while True:
        time.sleep(0.01)


@task
def never_leaves_c(x, folder):
    """One call of a function that is not Python, for far longer than a test may take."""
    (Path(folder) / f"begun-{x}").touch()
    time.sleep(1000)


@task
def turns_around(x, folder):
    """Computes for ever, in Python."""
    (Path(folder) / f"begun-{x}").touch()
    while True:
        x += 1


@task(timeout_seconds=1000)
def may_take_long(x, folder):
    """As ``naps_until_told``, but with a time limit."""
    naps_until_told.fn(x, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where tasks leave files."""
    place = tmp_path / "files"
    place.mkdir()
    return place


def begun(folder: Path, x: int) -> bool:
    return (folder / f"begun-{x}").exists()


def in_thread(function):
    """Run something in a thread; returns what waits for it and gives what came of it."""
    outcome = []

    def call():
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()

    def result():
        thread.join(60)
        assert not thread.is_alive()
        return outcome[0]

    return result


def test_a_task_run_under_way_is_cancelled(pooled: str, folder: Path) -> None:
    @flow
    def whole():
        future = naps_until_told.submit(1, str(folder))
        follows = add_one.submit(future)
        wait_until(lambda: begun(folder, 1), "it did not begin")
        assert future.cancel() is True
        assert future.cancel() is False
        with pytest.raises(CancelledRun):
            future.result(timeout=60)
        with pytest.raises(UpstreamTaskError):
            follows.result(timeout=60)
        assert future.state.name == "Cancelled"
        return add_one.submit(1).result(timeout=60)

    assert whole() == 2
    assert run_of(whole).node("naps_until_told-0").counts == {"Cancelled": 1}


@task(batch_size=1)
def meets(x, folder):
    """Ends when two of them have begun."""
    (Path(folder) / f"begun-{x}").touch()
    wait_until(lambda: begun(Path(folder), 3 - x), "the other has not begun")


def test_what_was_cancelled_last_gives_its_slot_back(
    pooled: str, tmp_path: Path, folder: Path
) -> None:
    """Its workers are kept for others, who have no more than these two."""

    @flow
    def cancels():
        future = naps_until_told.submit(0, str(folder))
        follows = add_one.submit(future)
        wait_until(lambda: begun(folder, 0), "it did not begin")
        assert future.cancel()
        return type(follows.result(raise_on_failure=False))

    @flow
    def meet():
        futures = [meets.submit(x, str(folder)) for x in (1, 2)]
        return [future.result() for future in futures]

    with dataflow_test_harness(pooled, home=tmp_path / "other"):
        assert cancels() is UpstreamTaskError
    assert meet() == [None, None]


def test_cancelled_task_runs_give_their_slots_back(pooled: str, folder: Path) -> None:
    @flow
    def whole():
        futures = naps_until_told.map(range(20), str(folder))
        wait_until(lambda: any(folder.iterdir()), "none began")
        assert futures.cancel() is True
        futures.wait(60)
        assert add_one.map(range(4)).result(timeout=60) == [1, 2, 3, 4]
        assert {state.name for state in futures.states()} == {"Cancelled"}
        return "done"

    assert whole() == "done"
    assert run_of(whole).node("naps_until_told-0").counts == {"Cancelled": 20}


@pytest.mark.parametrize(
    "stubborn", [catches_everything, never_leaves_c, turns_around, may_take_long], ids=str
)
def test_slots_come_back_whatever_a_call_is_at(pooled: str, folder: Path, stubborn) -> None:
    @flow
    def whole():
        slots = max(os.cpu_count() or 1, 2) + 4
        futures = [stubborn.submit(number, str(folder)) for number in range(slots)]
        wait_until(lambda: any(folder.iterdir()), "none began")
        assert all(future.cancel() for future in futures)
        return add_one.map(range(4)).result(timeout=60)

    assert whole() == [1, 2, 3, 4]


def test_one_element_is_cancelled_and_the_others_go_on(pooled: str, folder: Path) -> None:
    @flow
    def whole():
        futures = naps_until_told.map(range(6), str(folder))
        more = add_one.map(futures)
        wait_until(lambda: begun(folder, 0), "it did not begin")
        assert futures[0].cancel() is True
        assert futures[5].cancel() is True
        (folder / "go").touch()
        futures.wait(60)
        more.wait(60)
        return [
            [state.name for state in futures.states()],
            [state.name for state in more.states()],
        ]

    first, second = whole(return_state=True).result()
    assert first == ["Cancelled", *["Completed"] * 4, "Cancelled"]
    assert second == ["NotReady", *["Completed"] * 4, "NotReady"]
    assert run_of(whole).node("naps_until_told-0").counts == {"Completed": 4, "Cancelled": 2}


def test_a_call_that_waits_is_cancelled(pooled: str, folder: Path) -> None:
    @flow
    def whole():
        first = naps_until_told.submit(1, str(folder))
        second = add_one.submit(first)
        assert second.cancel() is True
        (folder / "go").touch()
        assert first.result(timeout=60) == 1
        return second.state.name

    assert whole() == "Cancelled"


def test_what_has_ended_cannot_be_cancelled(runner: str) -> None:
    @flow
    def whole():
        future, futures = add_one.submit(1), add_one.map([1, 2])
        assert (future.result(), futures.result()) == (2, [2, 3])
        return [future.cancel(), futures.cancel(), futures[0].cancel()]

    assert whole() == [False, False, False]


def test_hooks_of_tasks_hear_of_runs_that_were_under_way(pooled: str, folder: Path) -> None:
    heard: list[tuple[int | None, str]] = []

    @naps_until_told.with_options(name="hooked").on_cancellation
    def _unused(*_):
        """A decorator gives the hook back."""

    def note(_task, run, state):
        heard.append((run.map_index, state.name))

    hooked = naps_until_told.with_options(on_cancellation=[note], batch_size=1)

    @flow
    def whole():
        futures = hooked.map(range(50), str(folder))
        wait_until(lambda: any(folder.iterdir()), "none began")
        futures.cancel()
        futures.wait(60)
        return "done"

    assert whole() == "done"
    assert {name for _, name in heard} == {"Cancelled"}
    began = {int(path.name.removeprefix("begun-")) for path in folder.iterdir()}
    assert began <= {index for index, _ in heard}
    assert len(heard) == len({index for index, _ in heard}) < 50


def test_a_run_is_cancelled_from_another_thread(pooled: str, folder: Path) -> None:
    ends: list[str] = []

    @flow(on_cancellation=[lambda flow, run, state: ends.append(state.name)])
    def whole():
        naps_until_told.map(range(10), str(folder)).result()

    state = in_thread(lambda: whole(return_state=True))
    wait_until(lambda: any(folder.iterdir()), "none began")
    asked = cancel_flow_run(run_of(whole).id)
    assert asked.state.name in ("Cancelling", "Cancelled")
    assert state().name == "Cancelled"
    run = run_of(whole)
    assert [each.name for each in run.states()][-2:] == ["Cancelling", "Cancelled"]
    assert run.node("naps_until_told-0").counts == {"Cancelled": 10}
    assert ends == ["Cancelled"]
    with pytest.raises(RunFinishedError, match="has ended"):
        cancel_flow_run(run.id)


def test_a_cancelled_flow_raises_for_its_caller(runner: str) -> None:
    beside = threading.Event()

    @flow
    def whole():
        beside.set()
        while True:
            time.sleep(0.01)

    outcome = in_thread(whole)
    assert beside.wait(60)
    cancel_flow_run(run_of(whole).id)
    assert isinstance(outcome(), CancelledRun)


def test_a_cancelled_parent_cancels_its_subflows(runner: str) -> None:
    inside = threading.Event()

    @flow
    def inner():
        inside.set()
        while True:
            time.sleep(0.01)

    @flow
    def outer():
        inner()

    state = in_thread(lambda: outer(return_state=True))
    assert inside.wait(60)
    cancel_flow_run(run_of(outer).id)
    assert state().name == "Cancelled"
    assert run_of(inner).state.name == "Cancelled"


def test_a_cancelled_subflow_leaves_its_parent_going(runner: str) -> None:
    inside = threading.Event()

    @flow
    def inner():
        inside.set()
        while True:
            time.sleep(0.01)

    @flow
    def outer():
        with pytest.raises(CancelledRun):
            inner()
        return add_one.submit(1).result()

    outcome = in_thread(outer)
    assert inside.wait(60)
    cancel_flow_run(run_of(inner).id)
    assert outcome() == 2
    assert run_of(inner).state.name == "Cancelled"
    assert run_of(outer).state.name == "Completed"


def test_a_body_that_catches_everything_is_cancelled_all_the_same(
    pooled: str, folder: Path
) -> None:
    @flow
    def whole():
        futures = naps_until_told.map(range(3), str(folder))
        while True:
            try:
                futures.result()
            except Exception:
                futures = naps_until_told.map(range(3), str(folder))

    state = in_thread(lambda: whole(return_state=True))
    wait_until(lambda: any(folder.iterdir()), "none began")
    cancel_flow_run(run_of(whole).id)
    assert state().name == "Cancelled"


def test_async_flows_are_cancelled_one_by_one(runner: str) -> None:
    import asyncio

    @flow
    async def waits(number: int):
        if number:
            return number
        await asyncio.Event().wait()

    @flow
    async def whole():
        return await asyncio.gather(waits(0), waits(1), return_exceptions=True)

    outcome = in_thread(lambda: asyncio.run(whole()))
    wait_until(
        lambda: (
            len(records.runs(flow_name="waits")) == 2
            and {run.state.name for run in records.runs(flow_name="waits")}
            == {"Running", "Completed"}
        ),
        "they did not begin",
    )
    (waiting,) = records.runs(flow_name="waits", state="running")
    cancel_flow_run(waiting.id)
    error, value = outcome()
    assert isinstance(error, CancelledRun)
    assert value == 1
    assert run_of(whole).state.name == "Completed"


def test_an_async_flow_is_cancelled_with_all_below_it(runner: str) -> None:
    import asyncio

    @flow
    async def waits(number: int):
        await asyncio.Event().wait()

    @flow
    async def whole():
        await waits(0)
        return await asyncio.gather(waits(1), waits(2))

    state = in_thread(lambda: asyncio.run(whole(return_state=True)))
    wait_until(lambda: bool(records.runs(flow_name="waits", state="running")), "it did not begin")
    cancel_flow_run(run_of(whole).id)
    assert state().name == "Cancelled"
    assert run_of(waits).state.name == "Cancelled"
