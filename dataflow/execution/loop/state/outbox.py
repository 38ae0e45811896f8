"""What is to be done about what the run state was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dataflow.execution.announcements import Announcement
from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.model.records import Record


class Retry(NamedTuple):
    """A call that is to begin again in ``delay`` seconds."""

    node: TaskNode | MapNode
    element: int
    delay: float


class Lookup(NamedTuple):
    """A call, or elements of a map, that can begin unless their results are there already."""

    node: TaskNode | MapNode
    start: int = 0
    stop: int = 1


@dataclass(slots=True)
class Outbox:
    """What follows from what was told."""

    records: list[Record] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
