"""Records become rows: packed before the transaction begins, put in while it is open.

The write lock is shared by all processes of a store, so nothing is done under it that can be done
before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from dataflow.errors import InvalidTransition
from dataflow.model.records import (
    AttemptRecord,
    BatchRecord,
    LogRecord,
    NodeLengthRecord,
    NodeRecord,
    Record,
    ResultRecord,
    RunRecord,
    RunStateRecord,
    RunTimingRecord,
)
from dataflow.model.states import StateCode, check_transition
from dataflow.store.batch_columns import batch_row, spans_of
from dataflow.store.named_sql import load_statements
from dataflow.store.node_chunks import chunk_nodes
from dataflow.store.run_keys import run_key
from dataflow.store.stored_results import key_rows, result_row

Row = Sequence[Any]
Batch = tuple[int, Row, list[tuple[int, int, int, bytes]]]
"""The key of the run, the columns, the spans."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one write puts into each table."""

    runs: list[Row]
    run_states: list[RunStateRecord]
    node_chunks: list[Row]
    batches: list[Batch]
    attempts: list[Row]
    logs: list[Row]
    results: list[ResultRecord]
    run_timings: list[Row]
    task_timings: list[Row]


def pack(records: Iterable[Record]) -> Rows:
    """Sort records by kind and make rows of them."""
    runs: list[RunRecord] = []
    run_states: list[RunStateRecord] = []
    nodes: list[NodeRecord | NodeLengthRecord] = []
    batches: list[BatchRecord] = []
    attempts: list[AttemptRecord] = []
    logs: list[LogRecord] = []
    results: list[ResultRecord] = []
    timings: list[RunTimingRecord] = []
    add: dict[type, Any] = {
        RunRecord: runs.append,
        RunStateRecord: run_states.append,
        NodeRecord: nodes.append,
        NodeLengthRecord: nodes.append,
        BatchRecord: batches.append,
        AttemptRecord: attempts.append,
        LogRecord: logs.append,
        ResultRecord: results.append,
        RunTimingRecord: timings.append,
    }
    for record in records:
        add[type(record)](record)
    return Rows(
        runs=[_run_row(each) for each in runs],
        run_states=run_states,
        node_chunks=[(run_key(run_id), *rest) for run_id, *rest in chunk_nodes(nodes)],
        batches=[_batch(each) for each in batches if each.states],
        attempts=[_attempt_row(each) for each in attempts],
        logs=[_log_row(each) for each in logs],
        results=results,
        run_timings=[_timing_row(each) for each in timings],
        task_timings=[row for each in timings for row in _task_timing_rows(each)],
    )


def put(rows: Rows, connection: sqlite3.Connection) -> None:
    """Put rows into their tables; a write transaction is open.

    Raises:
        InvalidTransition: a run cannot enter a state from the one that it is in.
    """
    sql = load_statements("sqlite")
    if rows.runs:
        connection.executemany(sql["put_run"], rows.runs)
    if rows.node_chunks:
        connection.executemany(sql["add_node_chunk"], rows.node_chunks)
    if rows.batches:
        _put_batches(rows.batches, connection)
    if rows.attempts:
        connection.executemany(sql["add_attempt"], rows.attempts)
    if rows.logs:
        connection.executemany(sql["add_log"], rows.logs)
    if rows.results:
        _put_results(rows.results, connection)
    if rows.run_timings:
        connection.executemany(sql["put_run_timing"], rows.run_timings)
        connection.executemany(sql["put_task_timing"], rows.task_timings)
    for record in rows.run_states:
        _put_run_state(record, connection)
    touched = {row[0] for row in rows.runs} | {run_key(each.run_id) for each in rows.run_states}
    for key in touched:
        _show_state(key, connection)


def _put_batches(batches: list[Batch], connection: sqlite3.Connection) -> None:
    sql = load_statements("sqlite")
    (last,) = connection.execute(sql["last_batch"]).fetchone()
    numbered = list(enumerate(batches, last + 1))
    connection.executemany(
        sql["add_batch"], [(batch, key, *row) for batch, (key, row, _) in numbered]
    )
    connection.executemany(
        sql["add_span"],
        [(batch, key, *span) for batch, (key, _, spans) in numbered for span in spans],
    )


def _put_results(records: list[ResultRecord], connection: sqlite3.Connection) -> None:
    sql = load_statements("sqlite")
    (last,) = connection.execute(sql["last_result"]).fetchone()
    numbered = list(enumerate(records, last + 1))
    connection.executemany(
        sql["add_result"],
        [(number, run_key(each.run_id), *result_row(each)) for number, each in numbered],
    )
    keys = [row for number, each in numbered if each.cache_keys for row in key_rows(each, number)]
    if keys:
        if connection.execute(sql["any_lease"]).fetchone():
            connection.executemany(sql["drop_lease"], [(key,) for key, *_ in keys])
        keys.sort()  # neighbours in the table are written together
        connection.executemany(sql["put_cache_key"], keys)


def _put_run_state(record: RunStateRecord, connection: sqlite3.Connection) -> None:
    sql = load_statements("sqlite")
    key = run_key(record.run_id)
    latest = connection.execute(sql["latest_run_state"], (key,)).fetchone()
    if latest is not None:
        try:
            check_transition(StateCode(latest[0]), StateCode(record.code))
        except InvalidTransition as error:
            text = f"Run {record.run_id}: {error.message}"
            which = {"run_id": record.run_id, "refused": record}
            raise InvalidTransition(text, hint=error.hint, **which) from None
    row = (record.code, record.name, record.message, record.timestamp_ns, record.run_count)
    connection.execute(sql["add_run_state"], (key, *row))


def _show_state(key: int, connection: sqlite3.Connection) -> None:
    sql = load_statements("sqlite")
    latest = connection.execute(sql["latest_run_state"], (key,)).fetchone()
    if latest is None:
        return
    code, name, message, timestamp_ns, run_count = latest
    (started_ns,) = connection.execute(sql["first_run_start"], (key,)).fetchone()
    values = {
        "run": key,
        "code": code,
        "type": StateCode(code).type.value,
        "name": name,
        "message": message,
        "timestamp_ns": timestamp_ns,
        "run_count": run_count,
        "started_ns": started_ns,
        "ended_ns": timestamp_ns if StateCode(code).is_final else None,
    }
    connection.execute(sql["set_run_state"], values)


def _run_row(record: RunRecord) -> Row:
    return (
        run_key(record.run_id),
        record.run_id,
        record.flow_name,
        record.name,
        json.dumps(record.tags),
        record.parent_run_id,
        record.parent_node,
        record.runner,
        record.flow_version,
        record.created_ns,
        record.pid,
        record.host,
        record.code_path,
        record.deployment,
        record.parameters_json,
    )


def _batch(record: BatchRecord) -> Batch:
    return run_key(record.run_id), batch_row(record), list(spans_of(record))


def _attempt_row(record: AttemptRecord) -> Row:
    return (
        run_key(record.run_id),
        record.node,
        record.index,
        record.attempt,
        record.code,
        record.name,
        record.message,
        record.exception_type,
        record.started_ns,
        record.ended_ns,
        record.worker,
        record.traceback,
        record.exception,
    )


def _log_row(record: LogRecord) -> Row:
    return (
        run_key(record.run_id),
        record.node,
        record.index,
        record.attempt,
        record.timestamp_ns,
        record.level,
        record.logger,
        record.message,
        record.task_run_name,
        record.sequence,
    )


def _timing_row(record: RunTimingRecord) -> Row:
    return (
        run_key(record.run_id),
        record.tracing_ns,
        record.planning_ns,
        record.dispatch_ns,
        record.queue_ns,
        record.compute_ns,
        record.transfer_ns,
        record.recording_ns,
    )


def _task_timing_rows(record: RunTimingRecord) -> list[Row]:
    key = run_key(record.run_id)
    return [(task, record.ended_ns, key, calls, ns) for task, calls, ns in record.tasks]


def clean_text(record: Record) -> Record:
    """The record with text that is no valid Unicode (names of files can be so) made legible."""
    if isinstance(record, NodeRecord):
        names = list(record._fields)
    else:
        names = [each.name for each in fields(record)]
    changes: dict[str, Any] = {}
    for name in names:
        value = getattr(record, name)
        if isinstance(value, str):
            changes[name] = value.encode("utf-8", "backslashreplace").decode()
    if isinstance(record, NodeRecord):
        return record._replace(**changes)
    return replace(record, **changes)
