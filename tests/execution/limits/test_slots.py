"""Waiting for slots asks little of the store while nothing changes there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from dataflow.execution.limits import slots
from dataflow.execution.limits.slots import SlotKeeper
from dataflow.store.run_store import open_store

LOOKS = 300


def test_who_waits_asks_only_when_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "runs.db")
    store.slots.create("database", 1, 0.0, True)
    keeper = SlotKeeper(store)
    held = keeper.acquire({"database": 1}, None)
    number, granted = keeper._ask({"database": 1})
    asked: list[int] = []
    kind = type(store.slots)
    is_next = kind.is_next

    def noted(slots_of_store: Any, each: int) -> bool:
        asked.append(each)
        return is_next(slots_of_store, each)

    monkeypatch.setattr(kind, "is_next", noted)
    begun = time.monotonic()
    waiting = keeper._waiting(number, granted, {"database": 1}, None)
    pauses = [next(waiting) for _ in range(LOOKS)]
    seconds = time.monotonic() - begun
    assert 1 <= len(asked) <= 1 + seconds / slots._LOOK_SECONDS
    assert min(pauses[20:]) >= 0.5 * slots._LAST_PAUSE_SECONDS
    asked.clear()
    keeper.give_back(held)
    assert list(waiting) == []  # it goes on at once
    assert asked == [number]
    keeper.give_back(number)
    store.close()
