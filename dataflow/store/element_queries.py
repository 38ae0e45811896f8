"""Elements, read from one view of the store: counts, failures, attempts and times.

Columns of a batch are read only where the counts beside them do not say enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

from dataflow.clock import datetime_of
from dataflow.model.records import SINGLE_CALLS
from dataflow.model.states import State, StateCode, StateType, count_states
from dataflow.store.batch_columns import (
    BatchCalls,
    Span,
    read_calls,
    read_states,
    unpack_counts,
)
from dataflow.store.database import Transaction
from dataflow.store.element_states import (
    UNRECORDED,
    Piece,
    SettledCalls,
    overlapping,
    settle,
    settle_calls,
)
from dataflow.store.summaries import AttemptDetail

FAILING = frozenset({StateCode.FAILED, StateCode.TIMED_OUT, StateCode.CRASHED})
_CODES = tuple(StateCode)


def count_elements(view: Transaction, key: int) -> dict[int, Mapping[StateCode, int]]:
    """For each node how many of its elements are in which state; may share values."""
    calls = _single_calls(view, key)
    ones = [{code: 1} for code in StateCode]
    counts: dict[int, Mapping[StateCode, int]] = {
        node: ones[code] for node, code in calls.codes.items()
    }
    found: Mapping[int, int]
    for node, group in _groups(view, key):
        mixed = node in calls.codes and group[0].start == 0
        if mixed:
            found = _count(_settled(view, group, calls.piece(node))[1])
        elif len(group) == 1:
            found = unpack_counts(group[0].counts)
        else:
            found = _count(_settled(view, group)[1])
        total = {} if mixed or node not in counts else dict(counts[node])
        for number, count in found.items():
            code = _CODES[number]
            total[code] = total.get(code, 0) + count
        counts[node] = total
    return counts


def elements_in(
    view: Transaction, key: int, codes: Collection[int], node: int | None = None
) -> Iterator[tuple[int, int]]:
    """Node and index of each element that is in one of some states, in no special order."""
    wanted = frozenset(codes)
    calls = _single_calls(view, key)
    in_groups = set()
    for number, group in _groups(view, key, node):
        mixed = number in calls.codes and group[0].start == 0
        if mixed:
            in_groups.add(number)
        elif len(group) == 1 and wanted.isdisjoint(unpack_counts(group[0].counts)):
            continue
        first, states = _settled(view, group, calls.piece(number) if mixed else None)
        yield from ((number, first + at) for at, code in enumerate(states) if code in wanted)
    for number, code in calls.codes.items():
        if code in wanted and number not in in_groups and node in (None, number):
            yield number, 0


def attempts_at(
    view: Transaction, key: int, node: int, index: int
) -> tuple[State[Any] | None, tuple[AttemptDetail, ...]]:
    """The state that an element is in (None: nothing recorded) and its attempts, in order."""
    found: dict[int, AttemptDetail] = {}
    told: AttemptDetail | None = None
    for batch, position in _calls_at(view, key, node, index):
        told = _call_detail(batch, position)
        # higher ones are of before the run went on
        found = {number: each for number, each in found.items() if number < told.attempt}
        found[told.attempt] = told
    codes = {number: each.state.code for number, each in found.items()}
    for row in view.rows("attempts", (key, node, index)):
        detail = _recorded_detail(*row)
        if told and detail.attempt > told.attempt and detail.ended_ns <= told.ended_ns:
            continue
        code = codes.get(detail.attempt)
        # a call that was lost and run again has a record of its first end: the batch knows better
        if code is None or code == row[1] or code.type is not StateType.COMPLETED:
            found[detail.attempt] = detail
    if not found:
        return None, ()
    order = sorted(found)
    for earlier, later in pairwise(order):  # tried again in place: a batch has one start a call
        if found[later].started_ns < found[earlier].ended_ns <= found[later].ended_ns:
            found[later] = replace(found[later], started_ns=found[earlier].ended_ns)
    state = found[order[-1]].state
    if told is not None and told.state.code is not state.code:  # failed, waits for its next attempt
        code = told.state.code
        state = State.of_code(code, message=state.message, timestamp=state.timestamp)
    return state, tuple(found[attempt] for attempt in order)


def batch_times(view: Transaction, key: int) -> dict[int, tuple[int, int, int, int]]:
    """For each node: calls, the sum of their durations, first start and last end, all in ns."""
    times: dict[int, tuple[int, int, int, int]] = {}
    for row in view.each("batches", (key,)):
        batch = read_calls(row)
        if batch.states.count(StateCode.CACHED) == len(batch.states):
            continue  # nothing was called
        for node, *mine in _node_times(batch):
            calls, busy, first, last = mine
            if node in times:
                before = times[node]
                calls, busy = calls + before[0], busy + before[1]
                first, last = min(first, before[2]), max(last, before[3])
            times[node] = (calls, busy, first, last)
    return times


def _node_times(batch: BatchCalls) -> Iterator[tuple[int, int, int, int, int]]:
    started, ended = batch.times()
    offset = batch.clock_offset_ns
    if batch.stages is None:
        for node, start, end in zip(batch.nodes or (), started, ended, strict=True):
            yield node, 1, end - start, start + offset, end + offset
        return
    width = len(batch.stages)
    for position, node in enumerate(batch.stages):
        starts, ends = started[position::width], ended[position::width]
        if ends:
            busy = sum(ends) - sum(starts)
            yield node, len(ends), busy, min(starts) + offset, max(ends) + offset


def _groups(
    view: Transaction, key: int, node: int | None = None
) -> Iterator[tuple[int, list[Span]]]:
    if node is None:
        rows = view.rows("spans", (key,))
    else:
        rows = view.rows("spans_of_node", (key, node))
    for number, spans in groupby(map(Span._make, rows), key=itemgetter(0)):
        if number != SINGLE_CALLS:
            for group in overlapping(spans):
                yield number, group


def _single_calls(view: Transaction, key: int) -> SettledCalls:
    return settle_calls(map(read_states, view.each("single_calls", (key,))))


def _settled(
    view: Transaction, group: list[Span], more: Piece | None = None
) -> tuple[int, bytearray]:
    pieces = [] if more is None else [more]
    for span in group:
        batch = read_states(*view.rows("batch_states", (span.batch,)))
        pieces.append(Piece(span.start, span.batch, batch.states_of(span.node)))
    return settle(pieces)


def _count(states: bytearray) -> dict[int, int]:
    counts = count_states(states)
    counts.pop(UNRECORDED, None)
    return counts


def _calls_at(view: Transaction, key: int, node: int, index: int) -> list[tuple[BatchCalls, int]]:
    places = [(key, node, index, index)]
    if index == 0:
        places.append((key, SINGLE_CALLS, node, node))
    numbers = {number for place in places for (number,) in view.rows("spans_around", place)}
    calls = []
    for number in sorted(numbers):
        batch = read_calls(*view.rows("batch", (number,)))
        position = batch.position_of(node, index)
        if position is not None:
            calls.append((batch, position))
    return calls


def _call_detail(batch: BatchCalls, position: int) -> AttemptDetail:
    ended_ns = batch.ended_at(position)
    code = _CODES[batch.states[position]]
    return AttemptDetail(
        attempt=batch.attempt_at(position),
        state=State.of_code(code, timestamp=datetime_of(ended_ns)),
        started_ns=batch.started_at(position),
        ended_ns=ended_ns,
        worker=batch.worker,
    )


def _recorded_detail(
    attempt: int,
    code: int,
    name: str,
    message: str | None,
    exception_type: str | None,
    started_ns: int,
    ended_ns: int,
    worker: str,
    traceback: str | None,
    exception: bytes | None,
) -> AttemptDetail:
    moment = datetime_of(ended_ns)
    state = State.of_code(_CODES[code], message=message, name=name, timestamp=moment)
    return AttemptDetail(
        attempt, state, started_ns, ended_ns, worker, exception_type, traceback, exception
    )
