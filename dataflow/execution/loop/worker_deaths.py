"""What a run logs of a worker that died: why, where, and the elements that it was at."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from dataflow.execution.loop.queues import Flight
from dataflow.graph.nodes import ENDED_CODES, MapNode
from dataflow.model.records import LogRecord
from dataflow.planner.bodies import runs_of

_MOST_NAMES = 10


def held_by(flights: Iterable[Flight]) -> dict[str, list[str]]:
    """What a worker had of each run that has not ended, by the id of the run."""
    held: dict[str, list[str]] = {}
    for flight in flights:
        if names := list(_names(flight)):
            held.setdefault(flight.graph.run_id, []).extend(names)
    return held


def death_records(held: Mapping[str, list[str]], cause: str) -> list[LogRecord]:
    """A line for each of these runs."""
    return [_line(run_id, f"{cause}. {_sentence(names)}") for run_id, names in held.items()]


def _names(flight: Flight) -> Iterator[str]:
    """The elements, and the single calls, that no report has told of."""
    if flight.stages is None:
        for position, node in enumerate(flight.calls):
            if position not in flight.ended and node.code not in ENDED_CODES:
                yield node.name
        return
    width = len(flight.stages)
    for number, stage in enumerate(flight.stages):
        left = [
            element
            for at, element in enumerate(flight.elements)
            if at * width + number not in flight.ended and stage.settled[element] not in ENDED_CODES
        ]
        if left:
            yield from (_range_name(stage, found) for found in runs_of(left))


def _range_name(stage: MapNode, found: range) -> str:
    if len(found) == 1:
        return stage.element_name(found[0])
    return f"{stage.key}[{found[0]}..{found[-1]}]"


def _sentence(names: list[str]) -> str:
    names = [name for name, _ in groupby(names)]
    shown = ", ".join(names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        shown += f" and {len(names) - _MOST_NAMES} more"
    return f"It held {shown}, not ended yet."


def _line(run_id: str, text: str) -> LogRecord:
    now = time.time_ns()
    return LogRecord(run_id, None, None, 1, now, logging.WARNING, "dataflow.workers", text, None, 0)
