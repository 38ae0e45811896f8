"""Records become rows: packed before the transaction begins, put in while it is open.

What is locked is shared by all processes of a store, so nothing is done under the lock that can be
done before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from dataflow.errors import InvalidTransition
from dataflow.model.records import (
    ArtifactRecord,
    ArtifactUpdateRecord,
    AttemptRecord,
    BatchRecord,
    CommittedRecord,
    DroppedKeysRecord,
    DueHooksRecord,
    KeptValueRecord,
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
from dataflow.store.artifact_queries import put_artifacts
from dataflow.store.artifact_rows import latest_updates
from dataflow.store.batch_columns import batch_row, spans_of
from dataflow.store.database import Row, Transaction
from dataflow.store.node_chunks import chunk_nodes
from dataflow.store.run_keys import run_key
from dataflow.store.store_clock import store_now_ns
from dataflow.store.stored_results import key_rows, keys_in, result_row

_ADDED = (
    "node_chunks",
    "attempts",
    "logs",
    "due_hooks",
    "transaction_values",
    "committed_nodes",
)
Batch = tuple[int, Row, list[tuple[int, int, int, bytes]]]
"""The key of the run, the columns, the spans."""


class Rows(NamedTuple):
    """What one write puts into each table, and the keys of the runs that it is about."""

    keys: set[int]
    runs: list[Row]
    drivers: list[Row]
    run_states: list[RunStateRecord]
    node_chunks: list[Row]
    batches: list[Batch]
    attempts: list[Row]
    logs: list[Row]
    due_hooks: list[Row]
    transaction_values: list[Row]
    committed_nodes: list[Row]
    results: list[ResultRecord]
    dropped_keys: set[tuple[bytes, int]]
    run_timings: list[Row]
    task_timings: list[Row]
    artifacts: list[ArtifactRecord]
    artifact_updates: list[Row]


def pack(records: Sequence[Record]) -> Rows:
    """Sort records by kind and make rows of them."""
    runs: list[RunRecord] = []
    run_states: list[RunStateRecord] = []
    nodes: list[NodeRecord | NodeLengthRecord] = []
    batches: list[BatchRecord] = []
    attempts: list[AttemptRecord] = []
    logs: list[LogRecord] = []
    due_hooks: list[DueHooksRecord] = []
    values: list[KeptValueRecord] = []
    committed: list[CommittedRecord] = []
    results: list[ResultRecord] = []
    dropped: list[DroppedKeysRecord] = []
    timings: list[RunTimingRecord] = []
    artifacts: list[ArtifactRecord] = []
    artifact_updates: list[ArtifactUpdateRecord] = []
    add: dict[type, Any] = {
        RunRecord: runs.append,
        RunStateRecord: run_states.append,
        NodeRecord: nodes.append,
        NodeLengthRecord: nodes.append,
        BatchRecord: batches.append,
        AttemptRecord: attempts.append,
        LogRecord: logs.append,
        DueHooksRecord: due_hooks.append,
        KeptValueRecord: values.append,
        CommittedRecord: committed.append,
        ResultRecord: results.append,
        DroppedKeysRecord: dropped.append,
        RunTimingRecord: timings.append,
        ArtifactRecord: artifacts.append,
        ArtifactUpdateRecord: artifact_updates.append,
    }
    for record in records:
        add[type(record)](record)
    return Rows(
        keys={run_key(name) for name in _held_by(records)},
        runs=[_run_row(each) for each in runs],
        drivers=[(run_key(each.run_id), *each.driver) for each in runs if each.driver is not None],
        run_states=run_states,
        node_chunks=[(run_key(run_id), *rest) for run_id, *rest in chunk_nodes(nodes)],
        batches=[_batch(each) for each in batches if each.states],
        attempts=[_attempt_row(each) for each in attempts],
        logs=[_log_row(each) for each in logs],
        due_hooks=[_due_hooks_row(each) for each in due_hooks],
        transaction_values=[
            (run_key(each.run_id), each.node, each.index, each.name, each.value) for each in values
        ],
        committed_nodes=[
            (run_key(each.run_id), each.node, each.committed_ns) for each in committed
        ],
        results=results,
        dropped_keys={
            (key, run_key(each.run_id)) for each in dropped for key in keys_in(each.cache_keys)
        },
        run_timings=[_timing_row(each) for each in timings],
        task_timings=[row for each in timings for row in _task_timing_rows(each)],
        artifacts=artifacts,
        artifact_updates=latest_updates(artifact_updates),
    )


def _held_by(records: Sequence[Record]) -> set[str]:
    """What a write is about: runs, and keys of artifacts, whose versions are counted."""
    runs = {record.run_id for record in records if not isinstance(record, ArtifactUpdateRecord)}
    keys = {f"artifact {record.key}" for record in records if isinstance(record, ArtifactRecord)}
    return {run_id for run_id in runs if run_id is not None} | keys


def put(rows: Rows, transaction: Transaction) -> None:
    """Put rows into their tables; a write transaction is open.

    Raises:
        InvalidTransition: a run cannot enter a state from the one that it is in.
    """
    transaction.hold(rows.keys)
    if rows.runs:
        transaction.change("put_run", rows.runs)
    if rows.drivers:
        _put_drivers(rows.drivers, transaction)
    if rows.batches:
        _put_batches(rows.batches, transaction)
    for table in _ADDED:
        if added := getattr(rows, table):
            transaction.add(table, added)
    keys = _put_results(rows.results, transaction) if rows.results else {}
    if keys or rows.dropped_keys:
        _change_keys(keys, rows.dropped_keys, transaction)
    if rows.run_timings:
        transaction.change("put_run_timing", rows.run_timings)
        transaction.change("put_task_timing", rows.task_timings)
    if rows.artifacts or rows.artifact_updates:
        put_artifacts(transaction, rows.artifacts, rows.artifact_updates)
    put_states(rows.run_states, transaction, [row[0] for row in rows.runs])


def put_states(
    records: list[RunStateRecord], transaction: Transaction, runs: Iterable[int] = ()
) -> None:
    """Put states of runs into their table, and to where listings look, as for these other runs.

    Raises:
        InvalidTransition: a run cannot enter a state from the one that it is in.
    """
    for record in records:
        _put_run_state(record, transaction)
    for key in sorted({*runs, *(run_key(each.run_id) for each in records)}):
        _show_state(key, transaction)
    ended = {each.run_id for each in records if StateCode(each.code).is_final}
    if ended:  # what it was about to compute, others may now; so may it when it is resumed
        transaction.change("drop_leases", [(run_id,) for run_id in sorted(ended)])


def _put_drivers(drivers: list[Row], transaction: Transaction) -> None:
    now = store_now_ns(transaction)
    transaction.change("put_driver", [(*driver, now) for driver in drivers])


def _put_batches(batches: list[Batch], transaction: Transaction) -> None:
    numbers = transaction.rows("new_batches", (len(batches),))
    numbered = [(number, *batch) for (number,), batch in zip(numbers, batches, strict=True)]
    transaction.add("batches", [(number, key, *row) for number, key, row, _ in numbered])
    spans = [(number, key, *span) for number, key, _, spans in numbered for span in spans]
    transaction.add("spans", spans)


def _put_results(records: list[ResultRecord], transaction: Transaction) -> dict[bytes, Row]:
    """Put results into their table; the rows of the cache keys that are to lead to them."""
    numbers = transaction.rows("new_results", (len(records),))
    numbered = [(number, each) for (number,), each in zip(numbers, records, strict=True)]
    transaction.add(
        "results",
        [(number, run_key(each.run_id), *result_row(each)) for number, each in numbered],
    )
    return {
        row[0]: row
        for number, each in numbered
        if each.cache_keys
        for row in key_rows(each, number, run_key(each.run_id))
    }


def _change_keys(
    keys: dict[bytes, Row], dropped: set[tuple[bytes, int]], transaction: Transaction
) -> None:
    """Let cache keys lead to results, and others (by their run) to none, whatever came first."""
    if keys and transaction.row("any_lease") is not None:
        transaction.change("drop_lease", [(key,) for key in sorted(keys)])
    changes: list[tuple[bytes, str, Row]]
    changes = [(key, "drop_cache_key", (key, run)) for key, run in dropped]
    changes += [
        (key, "put_cache_key", row) for key, row in keys.items() if (key, row[1]) not in dropped
    ]
    # neighbours in the table are written together, and nobody waits in a circle
    for statement, group in groupby(sorted(changes), key=itemgetter(1)):
        transaction.change(statement, [row for *_, row in group])


def _put_run_state(record: RunStateRecord, transaction: Transaction) -> None:
    key = run_key(record.run_id)
    latest = transaction.row("latest_run_state", (key,))
    if latest is not None:
        try:
            check_transition(StateCode(latest[0]), StateCode(record.code))
        except InvalidTransition as error:
            text = f"Run {record.run_id}: {error.message}"
            which = {"run_id": record.run_id, "refused": record}
            raise InvalidTransition(text, hint=error.hint, **which) from None
    row = (record.code, record.name, record.message, record.timestamp_ns, record.run_count)
    transaction.add("run_states", [(key, *row)])


def _show_state(key: int, transaction: Transaction) -> None:
    latest = transaction.row("latest_run_state", (key,))
    if latest is None:
        return
    number, name, message, timestamp_ns, run_count = latest
    code = StateCode(number)
    start = transaction.row("first_run_start", (key,))
    ended_ns = timestamp_ns if code.is_final else None
    state = (number, code.type.value, name, message, timestamp_ns, run_count)
    transaction.change("set_run_state", [(*state, start and start[0], ended_ns, key)])
    if code is StateCode.SUSPENDED:
        transaction.change("drop_driver", [(key,)])
    elif code.is_final:
        transaction.change("drop_driver_of_ended", [(key,)])


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
        sum(1 << code for code in record.hooks) or None,
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


def _due_hooks_row(record: DueHooksRecord) -> Row:
    return (
        run_key(record.run_id),
        record.number,
        record.node,
        record.start,
        record.stop,
        record.code,
        record.attempt,
        record.called,
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


def clean_text(record: Record, *, keep_nul: bool) -> Record:
    """The record with text that is no valid Unicode (names of files can be so) made legible."""
    names: Sequence[str]
    if isinstance(record, tuple):
        names = record._fields
    else:
        names = [each.name for each in fields(record)]
    changes: dict[str, Any] = {}
    for name in names:
        value = getattr(record, name)
        if isinstance(value, str):
            legible = value.encode("utf-8", "backslashreplace").decode()
            changes[name] = legible if keep_nul else legible.replace("\0", "\\x00")
    if isinstance(record, tuple):
        return record._replace(**changes)
    return replace(record, **changes)
