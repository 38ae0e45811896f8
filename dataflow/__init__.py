"""dataflow: plain functions become flows that are traced, planned, run and recorded.

    from dataflow import flow, task

    @task
    def double(x):
        return 2 * x

    @flow
    def numbers():
        return double.map(range(10))

Everything a user needs is here; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataflow import cache_policies, context, records, runtime, serializers
    from dataflow.control import (
        cancel_flow_run,
        pause_flow_run,
        resume_flow_run,
        suspend_flow_run,
    )
    from dataflow.flows import Flow, flow
    from dataflow.futures import FutureList, TaskFuture, as_completed, wait
    from dataflow.graph.flow_graph import FlowGraph
    from dataflow.graph.tags import tags
    from dataflow.limits import concurrency, rate_limit
    from dataflow.model.annotations import allow_failure, quote, unmapped
    from dataflow.model.parameters import Parameter
    from dataflow.model.retry_policy import exponential_backoff
    from dataflow.model.states import (
        AwaitingRetry,
        Cached,
        Cancelled,
        Cancelling,
        Completed,
        Crashed,
        Failed,
        Paused,
        Pending,
        Retrying,
        Running,
        Scheduled,
        State,
        StateType,
        Suspended,
        TimedOut,
    )
    from dataflow.tasks import Task, task
    from dataflow.transactions import get_transaction, transaction
    from dataflow.variables import Variable
    from dataflow.worker.run_logs import get_run_logger

_STATES = (
    "AwaitingRetry Cached Cancelled Cancelling Completed Crashed Failed Paused Pending Retrying "
    "Running Scheduled State StateType Suspended TimedOut"
).split()
_RUNNERS = {
    "InlineTaskRunner": "inline",
    "ThreadPoolTaskRunner": "threads",
    "ProcessPoolTaskRunner": "processes",
    "DaskTaskRunner": "dask",
}
_HOMES = {
    "Flow": "dataflow.flows",
    "FlowGraph": "dataflow.graph.flow_graph",
    "FutureList": "dataflow.futures",
    "Parameter": "dataflow.model.parameters",
    "Task": "dataflow.tasks",
    "get_transaction": "dataflow.transactions",
    "transaction": "dataflow.transactions",
    "concurrency": "dataflow.limits",
    "rate_limit": "dataflow.limits",
    "TaskFuture": "dataflow.futures",
    "cancel_flow_run": "dataflow.control",
    "pause_flow_run": "dataflow.control",
    "resume_flow_run": "dataflow.control",
    "suspend_flow_run": "dataflow.control",
    "Variable": "dataflow.variables",
    "allow_failure": "dataflow.model.annotations",
    "as_completed": "dataflow.futures",
    "exponential_backoff": "dataflow.model.retry_policy",
    "flow": "dataflow.flows",
    "get_run_logger": "dataflow.worker.run_logs",
    "quote": "dataflow.model.annotations",
    "tags": "dataflow.graph.tags",
    "task": "dataflow.tasks",
    "unmapped": "dataflow.model.annotations",
    "wait": "dataflow.futures",
    **dict.fromkeys(_STATES, "dataflow.model.states"),
}
_EXPORTS = ("ClusterSpec",)
_MODULES = ("cache_policies", "context", "records", "runtime", "serializers")

__all__ = [
    "AwaitingRetry",
    "Cached",
    "Cancelled",
    "Cancelling",
    "ClusterSpec",
    "Completed",
    "Crashed",
    "DaskTaskRunner",
    "Failed",
    "Flow",
    "FlowGraph",
    "FutureList",
    "InlineTaskRunner",
    "Parameter",
    "Paused",
    "Pending",
    "ProcessPoolTaskRunner",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateType",
    "Suspended",
    "Task",
    "TaskFuture",
    "ThreadPoolTaskRunner",
    "TimedOut",
    "Variable",
    "__version__",
    "allow_failure",
    "as_completed",
    "cache_policies",
    "cancel_flow_run",
    "concurrency",
    "context",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "get_transaction",
    "pause_flow_run",
    "quote",
    "rate_limit",
    "records",
    "resume_flow_run",
    "runtime",
    "serializers",
    "suspend_flow_run",
    "tags",
    "task",
    "transaction",
    "unmapped",
    "wait",
]


def __getattr__(name: str) -> Any:
    found: Any
    if name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        found = importlib.import_module(f"dataflow.{name}")
    elif name in _RUNNERS:
        from dataflow.plugins import load_plugin

        found = load_plugin("dataflow.runners", _RUNNERS[name])
    elif name in _EXPORTS:
        from dataflow.plugins import load_plugin

        found = load_plugin("dataflow.exports", name)
    elif name == "__version__":
        from importlib.metadata import version

        found = version("dataflow-runtime")
    else:
        raise AttributeError(f"module 'dataflow' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
