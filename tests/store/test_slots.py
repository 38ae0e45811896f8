"""Limits: slots are granted in the order of asking, never too many, and come back."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataflow.process_ids import ProcessId, this_process
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.slots import LEASE_SECONDS, Request, Slots

GONE = this_process()._replace(started="1")
ELSEWHERE = ProcessId("another-machine", 17, "99")
_CLOCK = "dataflow.store.database_slots.store_now_ns"


@pytest.fixture
def slots(store: RunStore) -> Slots:
    return store.slots


def ask(slots: Slots, process: ProcessId | None = None, **wanted: int) -> tuple[int, bool]:
    return slots.ask(Request(wanted, process or this_process(), "who"))


def test_a_limit_is_made_changed_and_removed(slots: Slots) -> None:
    assert slots.create("db", 2, 0.0, True)
    assert not slots.create("db", 5, 0.0, True)
    assert slots.change("db", 3, None, None)
    assert slots.change("db", None, None, False)
    (limit,) = slots.limits()
    assert (limit.name, limit.slots, limit.active) == ("db", 3, False)
    assert slots.delete("db")
    assert not slots.delete("db")
    assert not slots.change("db", 1, None, None)
    assert slots.limits() == []


def test_tag_limits_are_those_that_are_active(slots: Slots) -> None:
    for name, active in [("tag:a", True), ("tag:b", False), ("tags", True), ("a", True)]:
        slots.create(name, 1, 0.0, active)
    assert slots.tag_limits() == {"tag:a"}


def test_slots_are_granted_in_the_order_of_asking(slots: Slots) -> None:
    slots.create("db", 2, 0.0, True)
    first, granted = ask(slots, db=1)
    assert granted
    large, granted = ask(slots, db=2)
    assert not granted
    small, granted = ask(slots, db=1)
    assert not granted  # there would be one, but it has asked later
    assert not slots.is_next(small)
    slots.give_back(first)
    assert slots.grant(small) is False
    assert slots.is_next(large)
    assert slots.grant(large) is True
    assert slots.grant(large) is True
    slots.give_back(large)
    assert slots.grant(small) is True
    assert slots.limits()[0].held == 1


def test_several_limits_are_granted_at_once_or_not_at_all(slots: Slots) -> None:
    slots.create("a", 1, 0.0, True)
    slots.create("b", 1, 0.0, True)
    held, _ = ask(slots, b=1)
    both, granted = ask(slots, a=1, b=1)
    assert not granted
    assert [limit.held for limit in slots.limits()] == [0, 1]
    slots.give_back(held)
    assert slots.grant(both) is True
    assert [limit.held for limit in slots.limits()] == [1, 1]


def test_what_a_process_held_that_is_gone_is_free(slots: Slots) -> None:
    slots.create("db", 1, 0.0, True)
    assert ask(slots, GONE, db=1)[1]
    ask(slots, GONE._replace(started="2"), db=1)  # waits, and is gone as well
    _, granted = ask(slots, db=1)
    assert granted
    assert [holder.process for holder in slots.holders("db")] == [this_process()]


def test_what_a_process_of_another_place_holds_is_not_free(slots: Slots) -> None:
    slots.create("db", 1, 0.0, True)
    assert ask(slots, ELSEWHERE, db=1)[1]
    assert not ask(slots, db=1)[1]
    assert [holder.granted for holder in slots.holders("db")] == [True, False]


def test_a_lease_of_another_place_runs_out(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.create("db", 1, 0.0, True)
    theirs, granted = ask(slots, ELSEWHERE, db=1)
    assert granted
    mine, granted = ask(slots, db=1)
    assert not granted
    now = time.time_ns()
    monkeypatch.setattr(_CLOCK, lambda _: now + int((LEASE_SECONDS - 1) * 1e9))
    assert slots.grant(mine) is False
    slots.renew([theirs])
    monkeypatch.setattr(_CLOCK, lambda _: now + int((LEASE_SECONDS + 1) * 1e9))
    assert slots.grant(mine) is False
    monkeypatch.setattr(_CLOCK, lambda _: now + int(3 * LEASE_SECONDS * 1e9))
    assert slots.grant(mine) is True
    assert slots.grant(theirs) is None


def test_who_waits_for_a_limit_that_is_removed_goes_on(slots: Slots) -> None:
    slots.create("db", 1, 0.0, True)
    ask(slots, db=1)
    waits, granted = ask(slots, db=1)
    assert not granted
    slots.delete("db")
    assert slots.is_next(waits)
    assert slots.grant(waits) is None


def test_an_inactive_limit_limits_nothing(slots: Slots) -> None:
    slots.create("db", 1, 0.0, False)
    assert ask(slots, db=1)[1]
    assert ask(slots, db=1)[1]


def test_rates_are_kept(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(_CLOCK, lambda _: now)
    slots.create("api", 3, 2.0, True)
    waits = [slots.reserve({"api": 1}, None) for _ in range(6)]
    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.5, 1.0, 1.5])
    assert slots.reserve({"api": 1}, 1.9) is None
    assert slots.reserve({"api": 1}, 2.1) == pytest.approx(2.0)
    monkeypatch.setattr(_CLOCK, lambda _: now + int(60e9))
    assert slots.reserve({"api": 3}, None) == pytest.approx(0.0)
    assert slots.limits()[0].held == 3


def test_no_two_processes_are_granted_the_same_slot(store: RunStore, place: str) -> None:
    store.slots.create("db", 3, 0.0, True)
    stores = [open_store(place) for _ in range(4)]
    granted: list[int] = []
    barrier = threading.Barrier(len(stores))

    def work(each: RunStore) -> None:
        barrier.wait()
        for _ in range(5):
            number, is_granted = ask(each.slots, db=1)
            if is_granted:
                granted.append(number)

    threads = [threading.Thread(target=work, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 3
    assert store.slots.limits()[0].waiting == 17
    for each in stores:
        each.close()


class LimitMachine(RuleBasedStateMachine):
    """Whatever is asked for and given back: never too much is held, nobody is passed."""

    @initialize(capacity=st.integers(1, 4))
    def begin(self, capacity: int) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(Path(self.folder.name) / "runs.db")
        self.capacity = capacity
        self.store.slots.create("db", capacity, 0.0, True)
        self.held: dict[int, int] = {}
        self.queue: list[tuple[int, int]] = []

    @rule(wanted=st.integers(1, 4))
    def ask(self, wanted: int) -> None:
        number, granted = ask(self.store.slots, db=min(wanted, self.capacity))
        self.queue.append((number, min(wanted, self.capacity)))
        assert granted == self._serve(number)

    @precondition(lambda self: self.queue)
    @rule(which=st.integers(0, 100))
    def try_again(self, which: int) -> None:
        number, _ = self.queue[which % len(self.queue)]
        assert self.store.slots.is_next(number) is self._could(number)
        assert self.store.slots.grant(number) is self._serve(number)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 100))
    def give_back(self, which: int) -> None:
        number = list(self.held)[which % len(self.held)]
        del self.held[number]
        self.store.slots.give_back(number)

    @precondition(lambda self: self.queue)
    @rule(which=st.integers(0, 100))
    def give_up(self, which: int) -> None:
        number, _ = self.queue.pop(which % len(self.queue))
        self.store.slots.give_back(number)

    def _could(self, number: int) -> bool:
        first, wanted = self.queue[0]
        return first == number and sum(self.held.values()) + wanted <= self.capacity

    def _serve(self, number: int) -> bool:
        could = self._could(number)
        if could:
            self.held[number] = self.queue.pop(0)[1]
        return could

    @invariant()
    def agrees(self) -> None:
        (limit,) = self.store.slots.limits()
        assert limit.held == sum(self.held.values()) <= self.capacity
        assert limit.waiting == len(self.queue)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestLimitMachine = LimitMachine.TestCase
TestLimitMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
