"""Flow runs whose body is a coroutine. What may take long is waited for beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from dataflow.errors import FlowRunTimeoutError
from dataflow.execution.control.resuming import Resumption
from dataflow.execution.control.signals import signals_end_runs, terminated
from dataflow.execution.flow_runs.ending import failure_of, shortened, state_of_exception
from dataflow.execution.flow_runs.flow_run import FlowRun
from dataflow.execution.interruptions import RunSuspended, Terminated
from dataflow.model.states import State

R = TypeVar("R")


async def run_flow_async(
    flow: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    return_state: bool,
    resumption: Resumption | None = None,
) -> Any:
    """Run an ``async`` flow on the running event loop: its value, or its state if wanted."""
    try:
        with signals_end_runs():
            run = FlowRun(flow, args, kwargs, wait_for, resumption)
            state = await _run_body_async(run)
    except Terminated:  # before it has entered its body
        raise terminated() from None
    if return_state or state.is_completed():
        return state if return_state else state.data
    raise failure_of(state)


async def _run_body_async(run: FlowRun) -> State[Any]:
    state: State[Any] | None = None
    try:
        run.begin()
        if run.found is not None:
            return run.found
        run.scope.body.enter(is_coroutine=True)
        while True:
            state = await _attempt_async(run)
            delay = run.retry_delay(state)
            if delay is None:
                run.scope.body.leave()
                return state
            await asyncio.sleep(delay)
            run.begin_again()
    except BaseException as error:
        if not run.has_begun:
            raise shortened(error)  # noqa: B904
        run.scope.body.leave()
        is_alone = run.ends_alone(error)
        state = await _to_the_end(run.state_after_error, error)
        is_suspended = isinstance(error, RunSuspended)
        if not (is_suspended or (is_alone and _take_back_cancellation())):
            raise
        return state
    finally:
        if state is not None:
            run.end(state)


async def _attempt_async(run: FlowRun) -> State[Any]:
    if run.error is not None:
        return state_of_exception(run.error)
    try:
        with run.context():
            result = await _await_body(run)
            return await asyncio.to_thread(run.state_after, result)
    except Exception as error:
        return await asyncio.to_thread(run.state_after_error, error)


async def _to_the_end(function: Callable[..., R], *args: Any) -> R:
    """Have something done in a thread, and wait for it whatever is cancelled meanwhile."""
    done = asyncio.ensure_future(asyncio.to_thread(function, *args))
    while not done.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([done])
    return done.result()


def _take_back_cancellation() -> bool:
    """The run's own cancellation ends here; False if somebody else cancels the task, too."""
    task = asyncio.current_task()
    return task is None or task.uncancel() == 0


async def _await_body(run: FlowRun) -> Any:
    args, kwargs = run.flow.call_arguments(run.parameters)
    found = run.flow.fn(*args, **kwargs)
    if hasattr(found, "__aiter__"):
        return [item async for item in found]
    seconds = run.flow.timeout_seconds
    if seconds is None:
        return await found
    try:
        async with asyncio.timeout(seconds) as limit:
            return await found
    except TimeoutError:
        if not limit.expired():
            raise
        run.scope.loop.cancel(run.scope.graph)
        raise FlowRunTimeoutError(
            f"Flow run {run.scope.info.name!r} exceeded its timeout of {seconds:g} second(s)."
        ) from None
