"""Hooks of runs whose process is gone: called once, by a process with the flow.

They are those that its tasks are still owed, and then ``on_crashed`` of the flow.

That is one that has the flow's code loaded and runs something itself: most often the same program,
started again. Until there is one, the hooks wait in the store. It does not end before they have
been called.
"""

from __future__ import annotations

import atexit
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.clock import now_ns
from dataflow.errors import StoreError
from dataflow.execution.flow_run_info import FlowRunInfo
from dataflow.execution.hooks import call_hooks
from dataflow.execution.left_hooks import call_left_hooks_of
from dataflow.execution.task_hooks import hook_thread
from dataflow.model.batches import RunInfo
from dataflow.model.declared import known_flows
from dataflow.model.records import LogRecord
from dataflow.model.states import State
from dataflow.worker.run_logs import FLOW_RUNS

if TYPE_CHECKING:
    from dataflow.store.run_store import RunStore
    from dataflow.store.summaries import RunSummary


def call_crash_hooks(store: RunStore, run_ids: list[str]) -> None:
    """Have the hooks of these runs called, where this process has the flows; returns at once."""
    if known_flows:
        hook_thread.put(lambda: _call(store, run_ids))
        atexit.unregister(hook_thread.drain)
        atexit.register(hook_thread.drain)  # what it has claimed nobody else will call


def _call(store: RunStore, run_ids: list[str]) -> None:
    try:
        _claim_and_call(store, run_ids)
    except StoreError as error:  # what was not claimed, somebody else will call
        logging.getLogger("dataflow.control").warning("Hooks were not called: %s", error)


def _claim_and_call(store: RunStore, run_ids: list[str]) -> None:
    for run_id in run_ids:
        summary = store.run(run_id)
        flow = known_flows.get(summary.flow_name)
        if flow is None or flow.code_path != summary.code_path:
            continue
        run = FlowRunInfo(_info(summary), _crashed_state(store, summary))
        say = partial(_log, store, run)
        if store.control.driver(run_id) is None:
            call_left_hooks_of(store, _info(summary), say)
        if store.control.claim_hooks(run_id):
            say(logging.INFO, "The run has crashed; its hooks are called.")
            call_hooks(flow.hooks["on_crashed"], (flow, run, run.state), say)


def _crashed_state(store: RunStore, summary: RunSummary) -> State[Any]:
    """The state that the hooks are about: the run may have been resumed meanwhile."""
    crashed = [state for state in store.run_states(summary.run_id) if state.is_crashed()]
    return crashed[-1] if crashed else summary.state


def _info(summary: RunSummary) -> RunInfo:
    return RunInfo(
        summary.run_id,
        summary.name,
        summary.flow_name,
        summary.tags,
        summary.parameters,
        summary.run_count,
        summary.parent_run_id,
    )


def _log(store: RunStore, run: FlowRunInfo, level: int, text: str) -> None:
    line = LogRecord(
        run.id, None, None, run.run_count, now_ns(), level, FLOW_RUNS, text, run.name, 0
    )
    store.write([line])
