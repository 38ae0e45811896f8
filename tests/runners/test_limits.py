"""Limits across runs, tasks and processes, on every runner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataflow import concurrency, flow, rate_limit, tags, task
from dataflow.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    LimitError,
)
from dataflow.limits import create_limit, delete_limit, limit_holders, limits, update_limit
from tests.runners.conftest import Start
from tests.runners.programs import wait_until


class Crowd:
    """How many are inside at once, as files of a folder tell; it works across processes."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __enter__(self) -> None:
        self.mine = self.folder / f"{os.getpid()}-{threading.get_ident()}-{id(self)}"
        self.mine.touch()
        most = sum(1 for _ in self.folder.iterdir())
        with (self.folder.parent / "most").open("a") as file:
            file.write(f"{most}\n")
        time.sleep(0.02)

    def __exit__(self, *_exception: object) -> None:
        self.mine.unlink()

    def most(self) -> int:
        return max(map(int, (self.folder.parent / "most").read_text().split()))


@pytest.fixture
def crowd(tmp_path: Path) -> Crowd:
    folder = tmp_path / "crowd" / "inside"
    folder.mkdir(parents=True)
    return Crowd(str(folder))


@task
def enters(x, folder):
    with concurrency("db"), Crowd(folder):
        return x


@task
async def enters_async(x, folder):
    async with concurrency("db"):
        with Crowd(folder):
            await asyncio.sleep(0.01)
            return x


@task(tags=["db"])
def is_tagged(x, folder):
    with Crowd(folder):
        return x


@task(tags=["db"])
async def is_tagged_async(x, folder):
    with Crowd(folder):
        await asyncio.sleep(0.01)
        return x


@task(tags=["db"], timeout_seconds=5, retries=1)
def is_quick(x, folder):
    with Crowd(folder):
        return x


@task
def add_one(x):
    return x + 1


@pytest.mark.parametrize("entering", [enters, enters_async], ids=["sync", "async"])
def test_no_more_hold_slots_than_there_are(runner: str, crowd: Crowd, entering) -> None:
    create_limit("db", 1)

    @flow
    def whole():
        return entering.map(range(12), str(crowd.folder))

    assert whole() == list(range(12))
    assert crowd.most() == 1
    assert (limits()[0].held, limits()[0].waiting) == (0, 0)


@pytest.mark.parametrize("tagged", [is_tagged, is_tagged_async, is_quick])
def test_task_runs_are_limited_by_their_tags(runner: str, crowd: Crowd, tagged) -> None:
    create_limit("tag:db", 1)

    @flow
    def whole():
        mapped = tagged.map(range(8), str(crowd.folder))
        single = [tagged.submit(x, str(crowd.folder)) for x in range(4)]
        return add_one.map(mapped), [add_one.submit(each) for each in single]

    assert whole() == (list(range(1, 9)), list(range(1, 5)))
    assert crowd.most() == 1
    assert limits()[0].held == 0


def test_tags_of_the_place_count_and_bare_calls_are_limited(runner: str, crowd: Crowd) -> None:
    create_limit("tag:place", 1)
    plain = is_tagged.with_options(tags=[])

    @flow
    def whole():
        with tags("place"):
            return plain.map(range(6), str(crowd.folder)), plain(7, str(crowd.folder))

    assert whole() == (list(range(6)), 7)
    assert crowd.most() == 1


def test_two_runs_share_a_limit(runner: str, crowd: Crowd) -> None:
    create_limit("db", 1)

    @flow
    def whole():
        return enters.map(range(5), str(crowd.folder)).result()

    threads = [threading.Thread(target=whole) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert crowd.most() == 1


def test_a_limit_on_a_tag_of_zero_fails_its_runs(runner: str) -> None:
    create_limit("tag:db", 0)

    @flow
    def whole():
        return is_tagged.submit(1, "").result()

    with pytest.raises(ConcurrencySlotAcquisitionError, match="nothing may begin"):
        whole()


def test_what_a_limit_can_never_give_is_refused_at_once(home: Path) -> None:
    create_limit("db", 2)
    create_limit("none", 0)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="3 slot"), concurrency("db", 3):
        pass
    with pytest.raises(ConcurrencySlotAcquisitionError, match="nothing may"), concurrency("none"):
        pass
    with pytest.raises(LimitError, match="occupy"):
        concurrency("db", occupy=0)


def test_who_waits_too_long_is_told_so_and_holds_nothing(home: Path) -> None:
    create_limit("db", 1)
    with concurrency("db"):
        with (
            pytest.raises(AcquireConcurrencySlotTimeoutError, match=r"0\.05 second"),
            concurrency("db", timeout_seconds=0.05),
        ):
            pass
        assert [holder.granted for holder in limit_holders("db")] == [True]
    with concurrency("db", timeout_seconds=0):
        assert limits()[0].held == 1
    assert limits()[0].held == 0


def test_a_limit_that_is_not_there_limits_nothing_unless_it_must(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with concurrency("nowhere"):
        assert "no limit nowhere" in caplog.text
    rate_limit("nowhere")
    with pytest.raises(ConcurrencySlotAcquisitionError, match="no limit 'nowhere'"):
        concurrency("nowhere", strict=True).__enter__()
    create_limit("off", 0, active=False)
    with concurrency("off"):
        pass


def test_who_has_asked_first_is_first(home: Path) -> None:
    create_limit("db", 1)
    order: list[int] = []

    def ask(number: int) -> None:
        with concurrency("db"):
            order.append(number)

    threads = []
    with concurrency("db"):
        for number in range(6):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            wait_until(lambda: limits()[0].waiting == len(threads), "it does not wait")
    for thread in threads:
        thread.join(60)
    assert order == list(range(6))


def test_a_waiter_goes_on_when_the_limit_is_raised_or_removed(home: Path) -> None:
    create_limit("db", 1)
    inside = [threading.Event(), threading.Event()]

    def ask(event: threading.Event) -> None:
        with concurrency("db"):
            event.set()

    with concurrency("db"):
        for event, change in zip(
            inside,
            [lambda: update_limit("db", 2), lambda: delete_limit("db")],
            strict=True,
        ):
            update_limit("db", 1)
            thread = threading.Thread(target=ask, args=(event,))
            thread.start()
            wait_until(lambda: limits()[0].waiting == 1, "it does not wait")
            change()
            assert event.wait(60)
            thread.join()


def test_async_code_waits_on_its_event_loop(home: Path) -> None:
    create_limit("db", 1)
    order: list[str] = []

    async def ask(name: str) -> None:
        async with concurrency("db"):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    async def both() -> None:
        await asyncio.gather(ask("a"), ask("b"), ask("c"))

    asyncio.run(both())
    assert order == [*"aabbcc"]


def test_a_cancelled_wait_asks_no_more(home: Path) -> None:
    create_limit("db", 1)

    async def give_up() -> None:
        async with asyncio.timeout(0.05), concurrency("db"):
            pass

    with concurrency("db"):
        with pytest.raises(TimeoutError):
            asyncio.run(give_up())
        assert limits()[0].waiting == 0


def test_rates_are_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("dataflow.limits.time", SimpleNamespace(sleep=slept.append))
    create_limit("api", 2, slot_decay_per_second=0.1)
    for _ in range(3):
        rate_limit("api")
    assert slept[:2] == [0, 0]
    assert 5 < slept[2] <= 10
    with pytest.raises(AcquireConcurrencySlotTimeoutError, match="rate of 'api'"):
        rate_limit("api", timeout_seconds=1)


def test_rates_are_awaited_in_async_code(home: Path) -> None:
    create_limit("api", 100, slot_decay_per_second=100)

    async def ask() -> int:
        for _ in range(5):
            await rate_limit("api")
        return 5

    assert asyncio.run(ask()) == 5
    assert limits()[0].held > 0


def test_a_limit_without_a_rate_is_no_rate_limit(home: Path) -> None:
    create_limit("db", 2)
    with pytest.raises(LimitError, match="not one on a rate"):
        rate_limit("db")


@pytest.mark.parametrize(
    ("name", "limit", "decay", "said"),
    [
        ("db", -1, 0, "0 or more"),
        ("db", 1.5, 0, "whole number"),
        ("db", 10**20, 0, "whole number"),
        ("db", 1, -2, "0 or more"),
        ("db", 1, float("inf"), "finite"),
        ("db", 1, float("nan"), "finite"),
        (" ", 1, 0, "name"),
    ],
)
def test_limits_that_cannot_be(home: Path, name: str, limit: int, decay: float, said: str) -> None:
    with pytest.raises(LimitError, match=said):
        create_limit(name, limit, slot_decay_per_second=decay)


@pytest.mark.parametrize("asks", [concurrency, rate_limit])
@pytest.mark.parametrize(
    "numbers",
    [
        {"occupy": 0},
        {"occupy": -1},
        {"occupy": 1.5},
        {"timeout_seconds": -1},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": "5"},
    ],
)
def test_numbers_that_cannot_be_asked_for(home: Path, asks: Any, numbers: dict) -> None:
    create_limit("db", 1, slot_decay_per_second=1)
    with pytest.raises(LimitError, match=r"must be a .*number"), contextlib.ExitStack() as stack:
        stack.enter_context(asks("db", **numbers))
    assert limits()[0].held == 0


def test_limits_that_are_there_already_or_are_not(home: Path) -> None:
    create_limit("db", 1)
    with pytest.raises(LimitError, match="already"):
        create_limit("db", 2)
    for missing in (
        lambda: update_limit("x", 1),
        lambda: delete_limit("x"),
        lambda: limit_holders("x"),
    ):
        with pytest.raises(LimitError, match="no limit 'x'"):
            missing()


HOLDER = """
import time
from dataflow import concurrency, flow, task

@task
def holds(x):
    with concurrency("db"):
        print("ready", flush=True)
        time.sleep(60)

@flow
def whole():
    holds.submit(1).wait()

whole()
"""


@pytest.mark.parametrize("where", ["threads", "processes"])
def test_slots_of_a_killed_process_are_free(start: Start, where: str) -> None:
    create_limit("db", 1)
    program = start(HOLDER, where)
    program.wait_ready()
    (holder,) = limit_holders("db")
    assert holder.holder == "holds-0"
    assert holder.process.pid in program.processes()
    inside = threading.Event()

    def ask() -> None:
        with concurrency("db"):
            inside.set()

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: limits()[0].waiting == 1, "it does not wait")
    assert not inside.is_set()
    program.signal(signal.SIGKILL)
    assert inside.wait(60)
    thread.join()
