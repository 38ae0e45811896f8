"""Results that were there already, as the run state and the records see them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from dataflow.graph.nodes import ENDED_CODES
from dataflow.model.records import BY_KEY, SINGLE_CALLS, BatchRecord, ResultRecord
from dataflow.model.states import StateCode

if TYPE_CHECKING:
    from dataflow.execution.reuse.answers import Answer
    from dataflow.store.stored_results import ResultObject, ResultPlace

_CACHED = bytes((StateCode.CACHED,))


class Origin(Enum):
    """Where the result of a call comes from."""

    NONE = auto()  # it has to be computed
    OWN = auto()  # this run had recorded it before
    OTHER = auto()


def found_runs(answer: Answer, settled: bytearray) -> Iterator[tuple[int, int, Origin]]:
    """Positions in a row whose results come from one origin: start, stop, which.

    Elements that have ended meanwhile, those that fail and those that wait are in none.
    """
    elements, places, is_own = answer.question.elements, answer.places, answer.is_own
    failures = {*answer.failures, *answer.held}
    start, last = 0, None
    count = len(places)
    all_there = None not in places and not failures and isinstance(elements, range)
    of_one_origin = all_there and is_own.count(is_own[0]) == count
    if of_one_origin and ENDED_CODES.isdisjoint(settled[elements[0] : elements[-1] + 1]):
        yield 0, count, _origin(places[0], is_own[0])
        return
    for at in range(count + 1):
        kind: Any = None
        if at < count and at not in failures and settled[elements[at]] not in ENDED_CODES:
            kind = _origin(places[at], is_own[at])
        if at == count or kind is not last:
            if last is not None:
                yield start, at, last
            start, last = at, kind


def _origin(place: ResultPlace | None, is_own: int) -> Origin:
    if place is None:
        return Origin.NONE
    return Origin.OWN if is_own else Origin.OTHER


def records_of_answer(answer: Answer, now_ns: int) -> list[Any]:
    """The records of calls that were not made: that they are Cached, and where their results are.

    What this run had recorded itself, before it was resumed, is there already.
    """
    return [*_taken_records(answer, now_ns), *_restated_records(answer, now_ns)]


def _restated_records(answer: Answer, now_ns: int) -> Iterator[Any]:
    """That calls are in the state again that they were in before."""
    question = answer.question
    for at in sorted(answer.restated):
        code = answer.codes[at : at + 1]
        if question.node is None:
            numbers = array("q", [question.nodes[at].id])
            yield _batch_record(question, None, 0, numbers, bytes(code), now_ns)
        else:
            element = question.elements[at]
            yield _batch_record(question, (question.node.id,), element, None, bytes(code), now_ns)


def _taken_records(answer: Answer, now_ns: int) -> list[Any]:
    question = answer.question
    taken: Sequence[int] = [
        at
        for at, place in enumerate(answer.places)
        if place is not None and not answer.is_own[at] and at not in answer.failures
    ]
    if not taken:
        return []
    if question.node is None:
        numbers = array("q", [question.nodes[at].id for at in taken])
        states = [_batch_record(question, None, 0, numbers, _CACHED * len(taken), now_ns)]
        elements: Sequence[int] = numbers
        node = SINGLE_CALLS
    else:
        elements = [question.elements[at] for at in taken]
        node = question.node.id
        states = [
            _batch_record(question, (node,), start, None, _CACHED * (stop - start), now_ns)
            for start, stop in _runs(elements)
        ]
    return [*states, *_result_records(answer, taken, node, elements, now_ns)]


def in_a_row(numbers: list[int]) -> Sequence[int]:
    """The same as a range, if that is what they are."""
    span = range(numbers[0], numbers[-1] + 1)
    return span if len(span) == len(numbers) and numbers == list(span) else numbers


def _runs(elements: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    if elements[-1] - elements[0] + 1 == len(elements):
        yield elements[0], elements[-1] + 1
        return
    for at in range(1, len(elements) + 1):
        if at == len(elements) or elements[at] != elements[at - 1] + 1:
            yield elements[start], elements[at - 1] + 1
            start = at


def _batch_record(
    question: Any,
    stages: tuple[int, ...] | None,
    start: int,
    nodes: array[int] | None,
    states: bytes,
    now_ns: int,
) -> BatchRecord:
    count = len(states)
    times = (array("q", (now_ns,)) * count).tobytes()
    return BatchRecord(
        run_id=question.graph.run_id,
        stages=stages,
        start=start,
        nodes=None if nodes is None else nodes.tobytes(),
        calls=count,
        states=states,
        clock_offset_ns=0,
        first_started_ns=now_ns,
        started=None,
        ended=times,
        attempts=None,
        worker="",
    )


def _result_records(
    answer: Answer, taken: Sequence[int], node: int, elements: Sequence[int], now_ns: int
) -> list[ResultRecord]:
    """For each object that has some of the results, which it has."""
    groups: dict[int, tuple[ResultObject, list[int], list[int], list[bytes]]] = {}
    places, all_digests = answer.places, answer.digests
    for at, element in zip(taken, elements, strict=True):
        place = places[at]
        assert place is not None
        group = groups.get(id(place[0]))
        if group is None:
            group = groups[id(place[0])] = (place[0], [], [], [])
        group[1].append(element)
        group[2].append(place[1])
        group[3].append(all_digests[at])
    results = answer.question.graph.results
    by_key = results.earlier is None
    source = BY_KEY if by_key else results.of(answer.question.batch.tasks[0]).source
    return [
        ResultRecord(
            run_id=answer.question.graph.run_id,
            node=node,
            elements=in_a_row(mine),
            numbers=in_a_row(numbers),
            storage=found.storage,
            name=found.name,
            serializer=found.serializer,
            created_ns=now_ns,
            made_by=found.run_id,
            source=source,
            digests=b"".join(digests),
        )
        for found, mine, numbers, digests in groups.values()
    ]
