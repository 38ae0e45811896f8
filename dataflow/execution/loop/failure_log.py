"""What is logged of task runs that failed: of each node the first few, and that there are more.

All of them are recorded, whatever is logged.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import MapNode
from dataflow.model.records import AttemptRecord, LogRecord
from dataflow.model.states import StateCode

MAX_TOLD = 10
_LEVELS = {
    int(StateCode.FAILED): logging.ERROR,
    int(StateCode.TIMED_OUT): logging.ERROR,
    int(StateCode.CRASHED): logging.ERROR,
    int(StateCode.NOT_READY): logging.WARNING,
}
Attempt = tuple[int, int, int]


class FailureLog:
    """Makes log lines of the attempts that are recorded."""

    def __init__(self) -> None:
        self._told: Counter[tuple[str, int, bool]] = Counter()

    def lines_of(
        self, graph: FlowGraph, records: Iterable[Any], retries: Mapping[Attempt, float]
    ) -> list[LogRecord]:
        """The lines that tell of attempts among these records.

        Args:
            graph: the run's.
            records: what is recorded.
            retries: the attempts that others follow, and after how many seconds.
        """
        lines = []
        for record in records:
            if not isinstance(record, AttemptRecord) or record.code not in _LEVELS:
                continue
            delay = retries.get((record.node, record.index, record.attempt))
            place = graph.run_id, record.node, delay is None
            self._told[place] += 1
            if self._told[place] <= MAX_TOLD:
                lines.append(_line(graph, record, *_text(record, delay)))
            elif self._told[place] == MAX_TOLD + 1:
                what = "task runs" if delay is None else "attempts"
                name = graph.node_of(record.node).name
                more = f"More {what} of {name!r} did not end well; the first {MAX_TOLD} are logged."
                lines.append(_line(graph, record, logging.WARNING, more))
        return lines

    def forget(self, graph: FlowGraph) -> None:
        """A run has ended."""
        for place in [place for place in self._told if place[0] == graph.run_id]:
            del self._told[place]


def _text(record: AttemptRecord, delay: float | None) -> tuple[int, str]:
    """The level and the text of a line; ``delay`` is that of the attempt that follows, if any."""
    text = f"{record.name}: {record.message}" if record.message else record.name
    if delay is None:
        return _LEVELS[record.code], text
    when = f"in {delay:.3g} s" if delay else "at once"
    return logging.WARNING, f"{text}; attempt {record.attempt + 1} follows {when}"


def _line(graph: FlowGraph, record: AttemptRecord, level: int, text: str) -> LogRecord:
    node: Any = graph.node_of(record.node)
    is_element = isinstance(node, MapNode) and node.length is not None
    return LogRecord(
        graph.run_id,
        record.node,
        record.index,
        record.attempt,
        record.ended_ns,
        level,
        "dataflow.task_runs",
        text,
        str(node.element_name(record.index) if is_element else node.name),
        0,
    )
