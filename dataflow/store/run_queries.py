"""Runs, their states and their logs, read from one view of the store."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from dataflow.clock import datetime_of
from dataflow.model.states import State, StateCode
from dataflow.store.database import Transaction
from dataflow.store.run_filters import (
    Conditions,
    after_prefix,
    ambiguous,
    no_name,
    not_found,
    where,
)
from dataflow.store.run_keys import run_key
from dataflow.store.summaries import LogEntry, PhaseSeconds, RunSummary

_CODES = tuple(StateCode)


def find_runs(
    view: Transaction, conditions: Conditions, limit: int | None, offset: int
) -> list[RunSummary]:
    """Runs that fulfil all conditions, newest first."""
    clause, values = where(conditions)
    rows = view.rows("find_runs", (*values, _limit(view, limit), offset), clause)
    return [_run_summary(row) for row in rows]


def find_run(view: Transaction, wanted: str, store: str) -> RunSummary:
    """The one run with that id, else that name, else whose id begins so.

    Raises:
        RunNotFound: there is none, or more than one; ``store`` is what is said to have none.
    """
    if not isinstance(wanted, str):
        raise no_name(wanted)
    ways: list[Conditions] = [[("run_id = ?", (wanted,))], [("name = ?", (wanted,))]]
    if wanted and wanted.isascii():
        between = ("run_id >= ? AND run_id < ?", (wanted, after_prefix(wanted)))
        ways.append([between])
    for conditions in ways:
        clause, values = where(conditions)
        found = view.rows("runs_like", values, clause)
        if len(found) > 1:
            raise ambiguous(wanted, found)
        if found:
            return find_runs(view, [("run_id = ?", (found[0][0],))], 1, 0)[0]
    names = view.rows("recent_run_names")
    raise not_found(wanted, [name for pair in names for name in pair], store)


def run_states(view: Transaction, run_id: str, run_count: int | None = None) -> list[State[Any]]:
    """All states that a run was in, or those of one attempt, oldest first."""
    rows = view.rows("run_states", (run_key(run_id),))
    return [_state(*row) for *row, count in rows if run_count in (None, count)]


def task_seconds(
    view: Transaction, tasks: Collection[str], flow_name: str, runs: int
) -> dict[str, float]:
    """The mean duration of a call of each task in the last runs that had such."""
    found = {}
    for task in tasks:
        rows = view.rows("task_timings_in_flow", (task, flow_name, runs))
        rows = rows or view.rows("task_timings", (task, runs))
        calls = sum(row[0] for row in rows)
        if calls:
            found[task] = sum(row[1] for row in rows) / calls / 1e9
    return found


def phases(view: Transaction, run_id: str) -> PhaseSeconds | None:
    """Where the time of a run went, if that is known."""
    row = view.row("run_timing", (run_key(run_id),))
    return None if row is None else PhaseSeconds(*(ns / 1e9 for ns in row))


def logs(
    view: Transaction,
    run_id: str,
    node: int | None = None,
    index: int | None = None,
    level: int | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[LogEntry]:
    """Lines of a run: by time, or (with ``after``) those stored later, as they were stored."""
    name, head, given = "logs", [run_key(run_id)], {"element = ?": index, "level >= ?": level}
    if after is not None:
        name, head, given = "logs_after", [*head, after], {"node = ?": node, **given}
    elif node is not None:
        name, head = "logs_of_node", [*head, node]
    chosen = {text: value for text, value in given.items() if value is not None}
    more = "".join(f" AND {text}" for text in chosen)
    rows = view.rows(name, (*head, *chosen.values(), _limit(view, limit)), more)
    return [LogEntry(*row) for row in rows]


def _limit(view: Transaction, limit: int | None) -> int:
    return view.everything if limit is None else max(limit, 0)


def _state(code: int, name: str, message: str | None, timestamp_ns: int) -> State[Any]:
    moment = datetime_of(timestamp_ns)
    return State.of_code(_CODES[code], message=message, name=name, timestamp=moment)


def _run_summary(row: tuple[Any, ...]) -> RunSummary:
    (run_id, flow_name, name, parameters_json, tags, parent_run_id, parent_node) = row[:7]
    (runner, flow_version, created_ns, pid, host, code_path, deployment) = row[7:14]
    (code, state_name, message, state_ns, run_count, started_ns, ended_ns) = row[14:]
    if code is None:
        code, state_name, state_ns = StateCode.PENDING, "Pending", created_ns
    return RunSummary(
        run_id=run_id,
        flow_name=flow_name,
        name=name,
        state=_state(code, state_name, message, state_ns),
        tags=tuple(json.loads(tags)),
        parent_run_id=parent_run_id,
        parent_node=parent_node,
        runner=runner,
        flow_version=flow_version,
        created_ns=created_ns,
        started_ns=started_ns,
        ended_ns=ended_ns,
        state_ns=state_ns,
        run_count=run_count or 0,
        pid=pid,
        host=host,
        code_path=code_path,
        deployment=deployment,
        parameters_json=parameters_json,
    )
