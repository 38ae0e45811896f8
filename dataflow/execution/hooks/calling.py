"""State hooks: the user's functions that are called when a run enters a state.

Whatever a hook raises is logged and harms nothing, ``SystemExit`` too; only a signal that arrives
while a hook runs in the main thread goes on its way.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any

from dataflow.execution.interruptions import is_signal
from dataflow.execution.results import name_of
from dataflow.ids import task_run_id
from dataflow.model.states import State, StateCode, StateType
from dataflow.worker.task_run import TaskRun

Say = Callable[[int, str], None]

_KIND_OF_HOOK = {
    StateType.RUNNING: "on_running",
    StateType.COMPLETED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.CRASHED: "on_crashed",
    StateType.CANCELLED: "on_cancellation",
}


def hooks_for(owner: Any, code: int) -> list[Callable[..., Any]]:
    """The hooks of a task or flow for a state."""
    if code == StateCode.ROLLED_BACK:  # it has completed before
        return []
    kind = _KIND_OF_HOOK.get(StateCode(code).type)
    return list(owner.hooks.get(kind, ())) if kind else []


def run_task_hooks(
    task: Any,
    node: Any,
    element: int | None,
    code: int,
    state: State[Any] | None = None,
    run_count: int = 1,
) -> None:
    """Call the hooks of a task for the state that a run of it has entered.

    Args:
        task, node, element: whose run it is.
        code: the state.
        state: the same with its data; None: there is no more to it.
        run_count: which attempt it is about.
    """
    hooks = hooks_for(task, code)
    if hooks:
        given = task_hook_arguments(node, element, code, state, run_count)
        call_hooks(hooks, given, node.graph.say)


def task_hook_arguments(
    node: Any, element: int | None, code: int, state: State[Any] | None, run_count: int
) -> tuple[Any, ...]:
    """What the hooks of a task get; for the arguments see :func:`run_task_hooks`."""
    info, task = node.graph.info, node.task
    run = TaskRun(
        id=task_run_id(info.run_id, node.id, element or 0),
        name=name_of(node, element),
        task_name=task.name,
        flow_run_id=info.run_id,
        map_index=element,
        run_count=run_count,
        tags=info.tags,
    )
    run.state = state or State.of_code(StateCode(code))
    return task, run, run.state


def call_hooks(hooks: Iterable[Callable[..., Any]], args: tuple[Any, ...], say: Say) -> None:
    """Call hooks one after the other; what they raise is logged."""
    for hook in hooks:
        name = getattr(hook, "__name__", repr(hook))
        try:
            found = hook(*args)
            if inspect.isawaitable(found):
                from dataflow.worker.async_calls import run_coroutine

                run_coroutine(_await(found))
        except BaseException as error:
            if is_signal(error):
                raise
            say(logging.ERROR, f"Hook {name!r} raised {type(error).__name__}: {error}")


async def _await(awaitable: Any) -> Any:
    return await awaitable
