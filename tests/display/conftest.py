"""Fixtures of the display tests: a tally with a clock that stands still, and events to fill it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from dataflow import events
from dataflow.display import bars, notebook, plain, tally
from dataflow.display.tally import Row
from dataflow.model.records import NodeRecord
from dataflow.model.states import Completed, StateCode

OK = int(StateCode.COMPLETED)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Story:
    """Tells a tally what happens."""

    tally: tally.Tally
    clock: Clock
    nodes: dict[str, int] = field(default_factory=dict)

    def run(self, run_id="r", flow_name="etl", name="brisk-otter", parent=None) -> Story:
        self.tally.take(events.RunStarted(run_id, name, flow_name, parent))
        return self

    def add(self, kind, task_name, *numbers, run_id="r", length=1, name=None) -> Story:
        records = [
            NodeRecord(
                run_id,
                number,
                kind,
                f"{task_name}-{number}",
                task_name,
                name or f"{task_name}-{number}",
                length if kind == "map" else 1,
                (),
                (),
                (),
                number,
            )
            for number in numbers
        ]
        self.tally.take(events.NodesAdded(run_id, records))
        return self

    def ended(self, task_name, counts, node=None, run_id="r") -> Story:
        counts = {OK: counts} if isinstance(counts, int) else counts
        self.tally.take(events.ElementsRecorded(run_id, node, task_name, counts))
        return self

    def length(self, node, length, run_id="r") -> Story:
        self.tally.take(events.NodeLengthKnown(run_id, node, length))
        return self

    def over(self, state: Any = None, run_id="r") -> Story:
        self.tally.take(events.RunStateChanged(run_id, "brisk-otter", state or Completed()))
        return self

    @property
    def rows(self) -> list[Row]:
        return list(self.tally.boards[0].all_rows())

    def told(self) -> list[tuple[str, int, int]]:
        return [(row.title, row.done, row.total) for row in self.rows]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (tally, bars, plain, notebook):
        monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def story(clock):
    return Story(tally.Tally(), clock)
