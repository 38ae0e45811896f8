"""A worker's slots: no more than there are, in the order in which they were asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from runners.dask import slots as dask_slots
from runners.dask.slots import Slots
from tests.runners.dask.pool import eventually


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_no_more_than_there_are() -> None:
    slots = Slots(2)
    holders, most = [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(50):
            assert slots.acquire(60)
            with lock:
                holders[0] += 1
                most[0] = max(most[0], holders[0])
            time.sleep(0)
            with lock:
                holders[0] -= 1
            slots.release()

    threads = [in_thread(work) for _ in range(6)]
    for thread in threads:
        thread.join(60)
    assert most[0] == 2
    assert holders[0] == 0
    assert slots.acquire(0)


def test_first_come_first_served() -> None:
    slots = Slots(1)
    order: list[int] = []
    slots.acquire(0)

    def wait(number: int) -> None:
        slots.acquire(60)
        order.append(number)
        slots.release()

    threads = []
    for number in range(5):
        threads.append(in_thread(lambda number=number: wait(number)))  # type: ignore[misc]
        assert eventually(lambda: len(slots._turns) == len(threads))
    slots.release()
    for thread in threads:
        thread.join(60)
    assert order == [0, 1, 2, 3, 4]


def test_waiting_in_vain() -> None:
    slots = Slots(1)
    assert slots.acquire(0)
    assert not slots.acquire(0.01)
    slots.release()
    assert slots.acquire(0)


def test_told_when_one_is_free() -> None:
    slots = Slots(1)
    told: list[str] = []
    slots.when_freed(lambda: told.append("at once"))
    slots.acquire(0)
    slots.when_freed(lambda: told.append("later"))
    assert told == ["at once"]
    slots.release()
    assert told == ["at once", "later"]
    slots.acquire(0)
    slots.release()
    assert told == ["at once", "later"]


def test_late_is_when_all_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(2)
    go = threading.Event()

    def hold() -> None:
        slots.acquire(0)
        go.wait(60)
        slots.release()

    monkeypatch.setattr(dask_slots, "_LATE_SECONDS", 0.0)
    first = in_thread(hold)
    assert eventually(lambda: slots._free == 1)
    assert not slots.are_late
    second = in_thread(hold)
    assert eventually(lambda: slots.are_late)
    monkeypatch.setattr(dask_slots, "_LATE_SECONDS", 60.0)
    assert not slots.are_late
    go.set()
    first.join(60)
    second.join(60)
