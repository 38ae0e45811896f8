"""The context of what runs: :func:`get_run_context`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflow.errors import MissingContextError
from dataflow.execution.hooks.flow_run_info import FlowRunInfo
from dataflow.worker.call_context import current_call, current_scope
from dataflow.worker.task_run import TaskRun


@dataclass(frozen=True, slots=True)
class FlowRunContext:
    """The body of a flow is running."""

    flow_run: FlowRunInfo
    task_runner: Any
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TaskRunContext:
    """A task is running."""

    task: Any
    task_run: TaskRun
    parameters: dict[str, Any]


def get_run_context() -> FlowRunContext | TaskRunContext:
    """The context of the task run or flow run that calls this.

    Raises:
        MissingContextError: nothing is running here.
    """
    call = current_call.get()
    if call is not None:
        run = TaskRun.here(call)
        return TaskRunContext(call.place.task, run, run.parameters)
    scope = current_scope.get()
    if scope is None:
        raise MissingContextError(
            "get_run_context() was called outside a run.",
            hint="Call it inside a flow or a task.",
        )
    return FlowRunContext(FlowRunInfo(scope.info), scope.runner, dict(scope.info.parameters))
