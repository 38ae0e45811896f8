"""Nodes and reports become records."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from dataflow.graph.flow_graph import local_ids
from dataflow.graph.nodes import MapNode, Node, TaskNode
from dataflow.model.batches import Attempt, Batch, BatchReport, CallBody, Failure, MapBody
from dataflow.model.records import AttemptRecord, BatchRecord, LogRecord, NodeRecord
from dataflow.model.states import StateCode
from dataflow.planner.bodies import runs_of
from dataflow.worker.outcomes import worker_name

_PLAIN_CODES = frozenset(
    (StateCode.COMPLETED, StateCode.CACHED, StateCode.SKIPPED, StateCode.ROLLED_BACK)
)


def node_record(node: Node, child_run_id: str | None = None) -> NodeRecord:
    """The record of a traced node."""
    graph, task, key = node.graph, node.task, node.key
    return NodeRecord(
        graph.run_id,
        node.id,
        node.kind,
        key,
        task.name,
        node.run_name or key if isinstance(node, TaskNode) else node.name,
        node.length,
        local_ids(graph, node.upstream) if node.upstream else (),
        local_ids(graph, node.order) if node.order else (),
        tuple(dict.fromkeys((*task.tags, *node.tags))) if node.tags else task.tags,
        node.created_ns,
        child_run_id,
    )


def batch_records(run_id: str, body: Any, report: BatchReport) -> list[BatchRecord]:
    """The records of what a report without holes says.

    There is more than one only where the range that it tells of begins or ends amid an element.
    """
    if not isinstance(body, MapBody) or len(body.stages) == 1:
        return [_batch_record(run_id, body, report, report.first, report.stop)]
    width = len(body.stages)
    whole = -(-report.first // width) * width, report.stop // width * width
    if whole[0] > whole[1]:  # it is all amid one element
        return [_batch_record(run_id, body, report, report.first, report.stop)]
    cuts = sorted({report.first, *whole, report.stop})
    return [_batch_record(run_id, body, report, *cut) for cut in pairwise(cuts)]


def _batch_record(
    run_id: str, body: Any, report: BatchReport, first: int, stop: int
) -> BatchRecord:
    """The record of some calls, which begin with an element's first stage or are of one element."""
    count = stop - first
    attempts = None
    if report.attempts:
        column = bytearray(b"\x01" * count)
        for position, attempt in report.attempts.items():
            if first <= position < stop:
                column[position - first] = min(attempt, 255)
        attempts = bytes(column)
    names = {at - first: name for at, name in report.names.items() if first <= at < stop}
    stages, start = None, 0
    if isinstance(body, MapBody):
        width = len(body.stages)
        skipped = first % width
        stages = tuple(stage.node for stage in body.stages[skipped : skipped + count])
        start = body.indices[first // width]
    skip = first - report.first
    begun_ns = report.first_started_ns
    if skip:
        (begun_ns,) = array("q", report.ended[8 * (skip - 1) : 8 * skip])
    return BatchRecord(
        run_id=run_id,
        stages=stages,
        start=start,
        nodes=None if stages else array("q", body.nodes[first:stop]).tobytes(),
        calls=count,
        states=report.states[skip : skip + count],
        clock_offset_ns=report.clock_offset_ns,
        first_started_ns=begun_ns,
        started=report.started and report.started[8 * skip : 8 * (skip + count)],
        ended=report.ended[8 * skip : 8 * (skip + count)],
        attempts=attempts,
        worker=report.worker,
        names=names or None,
    )


def attempt_records(run_id: str, batch: Batch, report: BatchReport) -> list[AttemptRecord]:
    """A record for each attempt in a report that has something to tell."""
    found = [
        _earlier_record(run_id, batch.body, attempt, report.worker) for attempt in report.earlier
    ]
    if not report.failures and not report.notes:
        return found
    started, ended = _times(report)
    for position in sorted({*report.failures, *report.notes}):
        failure = report.failures.get(position)
        note = report.notes.get(position)
        if failure is None and note is None:
            continue
        at = position - report.first
        code = _code_of_attempt(report.states[at], failure)
        start, stop = started[at] + report.clock_offset_ns, ended[at] + report.clock_offset_ns
        node, index = where(batch.body, position)
        found.append(
            AttemptRecord(
                run_id,
                node,
                index,
                report.attempts.get(position, batch.attempts.get(position, 1)),
                code,
                note.name if note else StateCode(code).state_name,
                note.message if note else message_of(code, failure),
                *_raised(code, failure),
                start,
                stop,
                report.worker,
            )
        )
    return found


def _times(report: BatchReport) -> tuple[Sequence[int], Sequence[int]]:
    ended = array("q", report.ended)
    if report.started is not None:
        return array("q", report.started), ended
    return [report.first_started_ns, *ended[:-1]], ended


def _code_of_attempt(code: int, failure: Failure | None) -> int:
    """How an attempt ended, where its task run only awaits the next one."""
    if code != StateCode.AWAITING_RETRY:
        return code
    timed_out = failure is not None and failure.type.endswith("TaskRunTimeoutError")
    return int(StateCode.TIMED_OUT if timed_out else StateCode.FAILED)


def retries_of(batch: Batch, report: BatchReport) -> dict[tuple[int, int, int], float]:
    """The attempts (node, index, attempt) that others follow, and after how many seconds."""
    found = {(*where(batch.body, each.position), each.attempt): 0.0 for each in report.earlier}
    for position, delay in report.delays.items():
        attempt = report.attempts.get(position, batch.attempts.get(position, 1))
        found[(*where(batch.body, position), attempt)] = delay
    return found


def _earlier_record(run_id: str, body: Any, attempt: Attempt, worker: str) -> AttemptRecord:
    node, index = where(body, attempt.position)
    failure = attempt.failure
    return AttemptRecord(
        run_id,
        node,
        index,
        attempt.attempt,
        attempt.code,
        StateCode(attempt.code).state_name,
        message_of(attempt.code, failure),
        *_raised(attempt.code, failure),
        attempt.started_ns,
        attempt.ended_ns,
        worker,
    )


def _raised(code: int, failure: Failure | None) -> tuple[str | None, bytes | None, str | None]:
    """Type, pickle and traceback of what an attempt raised; not what it needed raised."""
    if failure is None or code == StateCode.NOT_READY:
        return None, None, None
    return failure.type, failure.exception, failure.traceback


def message_of(code: int, failure: Failure | None) -> str | None:
    """What the message of a state says when nobody gave it one."""
    if failure is None:
        return None
    said = f"{failure.type}: {failure.message}" if failure.message else failure.type
    if code == StateCode.NOT_READY:
        who = f"task run {failure.source!r}" if failure.source else "a task run"
        return f"It needs {who}, which did not end well: {said}"
    if code in (StateCode.TIMED_OUT, StateCode.CRASHED, StateCode.CANCELLED):
        return failure.message
    return f"Task run encountered an exception {said}"


def where(body: Any, position: int) -> tuple[int, int]:
    """The node id and index of a call of a batch."""
    if isinstance(body, CallBody):
        return body.nodes[position], 0
    element, stage = divmod(position, len(body.stages))
    return body.stages[stage].node, body.indices[element]


def log_records(run_id: str, body: Any, lines: Iterable[Any], sequence: int) -> list[LogRecord]:
    """Records of log lines of a batch."""
    found = []
    for number, line in enumerate(lines):
        node, index = where(body, line.position)
        found.append(
            LogRecord(
                run_id,
                node,
                index,
                line.attempt,
                line.timestamp_ns,
                line.level,
                line.logger,
                line.message,
                line.task_run_name,
                sequence + number,
            )
        )
    return found


def unbegun_records(node: Node, elements: range, code: int, failure: Failure) -> list[Any]:
    """Records of task runs that end without a report: they never began, or died with a worker.

    What had completed before its run went on stays so, if the run has not come to it.
    """
    standing = node.graph.standing(node, elements)
    if not standing:
        return _unbegun_records(node, elements, code, failure)
    others = [each for each in elements if each not in standing]
    return [
        record
        for some in (runs_of(others) if others else ())
        for record in _unbegun_records(node, some, code, failure)
    ]


def _unbegun_records(node: Node, elements: range, code: int, failure: Failure) -> list[Any]:
    tried = [_attempt_of(node, index) for index in elements]
    records: list[Any] = [ended_now_record(node, elements, code, tried)]
    records += [
        lost_attempt_record(node, index, attempt, code, failure)
        for index, attempt in zip(elements, tried, strict=True)
    ]
    return records


def ended_now_record(node: Node, elements: range, code: int, tried: list[int]) -> BatchRecord:
    """The record of task runs that nobody reports and that have ended now, after these attempts."""
    now = time.time_ns()
    count = len(elements)
    column = array("q", [now]) * count
    is_map = isinstance(node, MapNode)
    return BatchRecord(
        node.graph.run_id,
        (node.id,) if is_map else None,
        elements.start if is_map else 0,
        None if is_map else array("q", [node.id]).tobytes(),
        count,
        bytes((code,)) * count,
        0,
        now,
        column.tobytes(),
        column.tobytes(),
        bytes(min(attempt, 255) for attempt in tried) if max(tried) > 1 else None,
        "",
    )


def _attempt_of(node: Any, index: int) -> int:
    if isinstance(node, MapNode):
        return node.attempts.get(index, 1)
    return int(getattr(node, "attempt", 1))


def lost_attempt_record(
    node: Node, index: int, attempt: int, code: int, failure: Failure
) -> AttemptRecord:
    """The record of an attempt that nobody could report."""
    now = time.time_ns()
    return AttemptRecord(
        node.graph.run_id,
        node.id,
        index,
        attempt,
        code,
        StateCode(code).state_name,
        message_of(code, failure),
        *_raised(code, failure),
        now,
        now,
        "",
    )


def subflow_record(
    node: Any, code: int, begun_ns: int, ended_ns: int
) -> tuple[list[Any], list[Any]]:
    """What a subflow's node records when its run has ended: records, and announcements."""
    from dataflow.execution.announcements import CallEnded

    record = BatchRecord(
        run_id=node.graph.run_id,
        stages=None,
        start=0,
        nodes=array("q", [node.id]).tobytes(),
        calls=1,
        states=bytes((code,)),
        clock_offset_ns=0,
        first_started_ns=begun_ns,
        started=array("q", [begun_ns]).tobytes(),
        ended=array("q", [ended_ns]).tobytes(),
        attempts=None,
        worker=worker_name(),
    )
    return [record], [CallEnded(node, code)]
