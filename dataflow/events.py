"""What happens in this process's runs, told to whoever asked: displays, notebooks, metrics.

An event is published after what it tells is in the store. The engine never calls a display; a
subscriber that raises is dropped from that event and harms nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dataflow.model.records import LogRecord, NodeRecord
    from dataflow.model.states import State


class RunStarted(NamedTuple):
    """A flow run began."""

    run_id: str
    run_name: str
    flow_name: str
    parent_run_id: str | None


class RunStateChanged(NamedTuple):
    """A flow run is in a new state."""

    run_id: str
    run_name: str
    state: State[Any]


class NodesAdded(NamedTuple):
    """Nodes were traced."""

    run_id: str
    nodes: list[NodeRecord]


class NodeLengthKnown(NamedTuple):
    """A dynamic map got its length."""

    run_id: str
    node: int
    length: int


class ElementsRecorded(NamedTuple):
    """Task runs have new states: how many in which (by state code).

    They are elements of the map ``node``, or, where that is None, single calls of one task. No
    counts at all: the map will never have a length.
    """

    run_id: str
    node: int | None
    task_name: str
    counts: dict[int, int]


class LogsRecorded(NamedTuple):
    """Log lines of a run were stored."""

    run_id: str
    logs: list[LogRecord]


Event = (
    RunStarted | RunStateChanged | NodesAdded | NodeLengthKnown | ElementsRecorded | LogsRecorded
)

_subscribers: list[Callable[[Event], None]] = []


def subscribe(listener: Callable[[Event], None]) -> Callable[[], None]:
    """Have ``listener`` called with every event from now on; returns what ends that.

    It is called in the thread that records; it must be quick and must not wait for a run.
    """
    _subscribers.append(listener)

    def unsubscribe() -> None:
        with contextlib.suppress(ValueError):
            _subscribers.remove(listener)

    return unsubscribe


def has_subscribers() -> bool:
    """Whether anyone listens (events are not even made when nobody does)."""
    return bool(_subscribers)


def publish(event: Event) -> None:
    """Tell every subscriber."""
    for listener in tuple(_subscribers):
        with contextlib.suppress(Exception):
            listener(event)
