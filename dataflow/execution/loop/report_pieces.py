"""Reports without holes, made of a report that has some.

Concurrent calls end in any order, and a part of their batch's report tells of those that have; a
batch that runs again, because its worker was lost, tells of calls that were told of before. Such a
report has Pending where there is nothing to tell. All that follows deals with calls in a row.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode

_HOLE = bytes((StateCode.PENDING,))
_TOLD = re.compile(b"[^" + re.escape(_HOLE) + b"]+", re.DOTALL)


def with_holes(report: BatchReport, positions: Iterable[int]) -> BatchReport:
    """The report with nothing to tell of these calls."""
    states = bytearray(report.states)
    for position in positions:
        states[position - report.first] = StateCode.PENDING
    return replace(report, states=bytes(states))


def pieces_of(
    report: BatchReport, elements: Sequence[int] = range(0), width: int = 1
) -> list[BatchReport]:
    """The pieces of a report; their ``values`` are still the whole report's.

    Args:
        report: it may have holes.
        elements: those of its batch, if it is of a map: a piece has elements in a row.
        width: how many calls an element has.
    """
    holes = _HOLE in report.states
    if not holes and isinstance(elements, range):
        return [report]
    told = [found.span() for found in _TOLD.finditer(report.states)]
    if not isinstance(elements, range):
        told = [part for span in told for part in _at_gaps(span, report.first, elements, width)]
    return [_piece(report, start, stop) for start, stop in told]


def _at_gaps(
    span: tuple[int, int], first: int, elements: Sequence[int], width: int
) -> Iterator[tuple[int, int]]:
    """A span of a report's calls, cut where its elements are not in a row."""
    start, stop = span
    cuts = [
        at
        for at in range(start + 1, stop)
        if (first + at) % width == 0
        and elements[(first + at) // width] != elements[(first + at) // width - 1] + 1
    ]
    return pairwise([start, *cuts, stop])


def column_start(whole: BatchReport, kept: Sequence[bool], stage: int, position: int) -> int:
    """Where the value of a call of a stage is in the column of a whole report.

    Args:
        whole: the report, whose column has the kept stages one after the other.
        kept: for each stage of the batch, whether its values are kept.
        stage, position: the call.
    """
    width = len(kept)
    before = sum(
        len(range(whole.first + (number - whole.first) % width, whole.stop, width))
        for number in range(stage)
        if kept[number]
    )
    return before + (position - whole.first) // width


def _piece(report: BatchReport, start: int, stop: int) -> BatchReport:
    calls = range(report.first + start, report.first + stop)

    def within(found: Mapping[int, Any]) -> dict[int, Any]:
        return {at: each for at, each in found.items() if at in calls} if found else {}

    begun_ns = report.first_started_ns
    if start and report.started is None:
        (begun_ns,) = array("q", report.ended[8 * (start - 1) : 8 * start])
    return replace(
        report,
        first=calls.start,
        first_started_ns=begun_ns,
        states=report.states[start:stop],
        started=report.started and report.started[8 * start : 8 * stop],
        ended=report.ended[8 * start : 8 * stop],
        failures=within(report.failures),
        notes=within(report.notes),
        attempts=within(report.attempts),
        earlier=[each for each in report.earlier if each.position in calls],
        delays=within(report.delays),
        lengths=within(report.lengths),
        names=within(report.names),
        logs=[],
        records=[],
    )
