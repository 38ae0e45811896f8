"""While runs are on, the collector spares old objects; afterwards it is as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflow import flow
from dataflow.execution.garbage import SparingCollector


@pytest.fixture
def thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(600, 9, 8)
    yield gc.get_threshold()
    gc.set_threshold(*before)


def test_the_last_of_overlapping_runs_sets_it_back(thresholds: tuple[int, int, int]) -> None:
    collector = SparingCollector()
    collector.begin("a")
    assert gc.get_threshold() == (600, 9, 40)
    collector.begin("b")
    collector.end("a")
    collector.end("a")
    assert gc.get_threshold() == (600, 9, 40)
    collector.end("b")
    assert gc.get_threshold() == thresholds
    collector.end("b")
    assert gc.get_threshold() == thresholds


def test_what_somebody_sets_meanwhile_stays(thresholds: tuple[int, int, int]) -> None:
    collector = SparingCollector()
    collector.begin("a")
    gc.set_threshold(100, 5, 5)
    collector.end("a")
    assert gc.get_threshold() == (100, 5, 5)


def test_a_flow_leaves_it_as_it_was(
    home: Path, thresholds: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # of its own: calls outside flows have left an open run in the one of this process, maybe
    monkeypatch.setattr("dataflow.execution.scope.sparing_collector", SparingCollector())
    seen = []

    @flow(task_runner="inline")
    def inner() -> None:
        seen.append(gc.get_threshold())

    @flow(task_runner="inline")
    def outer() -> None:
        inner()
        seen.append(gc.get_threshold())
        raise ValueError

    with pytest.raises(ValueError):
        outer()
    assert [old for _, _, old in seen] == [40, 40]
    assert gc.get_threshold() == thresholds
