"""Flow runs whose body is a function that is no coroutine: called here, and waited for here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dataflow.errors import FlowRunTimeoutError, TaskRunTimeoutError
from dataflow.execution.control.signals import signals_end_runs, terminated
from dataflow.execution.flow_runs.ending import state_of_exception
from dataflow.execution.flow_runs.flow_run import FlowRun
from dataflow.execution.interruptions import Terminated
from dataflow.model.states import State
from dataflow.worker.timeouts import call_with_timeout

if TYPE_CHECKING:
    from dataflow.execution.control.resuming import Resumption


def run_flow(
    flow: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    resumption: Resumption | None = None,
) -> State[Any]:
    """Run a synchronous flow, or let a run of it go on; its final state.

    Raises:
        StoreError: nothing can be recorded.
        BaseException: what is no ``Exception``, such as Ctrl-C.
    """
    try:
        with signals_end_runs():
            return _run_body(FlowRun(flow, args, kwargs, wait_for, resumption))
    except Terminated:
        raise terminated() from None


def _run_body(run: FlowRun) -> State[Any]:
    state = None
    try:
        run.begin()
        if run.found is not None:
            return run.found
        run.scope.body.enter()
        while True:
            state = _attempt(run)
            delay = run.retry_delay(state)
            if delay is None:
                run.scope.body.leave()
                run.raise_missed(state)
                return state
            time.sleep(delay)
            run.begin_again()
    except BaseException as error:
        if not run.has_begun:
            raise
        run.scope.body.leave()
        is_alone = run.ends_alone(error)
        state = run.state_after_error(error)
        if not is_alone:
            raise
        return state
    finally:
        if state is not None:
            try:
                run.end(state)
            except BaseException:  # a signal, and perhaps before its first line
                if not run.has_ended:
                    run.end(state)
                raise


def _attempt(run: FlowRun) -> State[Any]:
    if run.error is not None:
        return state_of_exception(run.error)
    try:
        with run.context():
            result = _call_body(run)
        return run.state_after(result)
    except Exception as error:
        return run.state_after_error(error)


def _call_body(run: FlowRun) -> Any:
    args, kwargs = run.flow.call_arguments(run.parameters)
    body: Callable[..., Any] = run.flow.fn
    if run.flow.kind == "generator":
        body = _listed(body)
    seconds = run.flow.timeout_seconds
    if seconds is None:
        return body(*args, **kwargs)
    try:
        return call_with_timeout(body, args, kwargs, seconds, f"Flow run {run.scope.info.name!r}")
    except TaskRunTimeoutError as error:
        if not str(error).startswith("Flow run"):
            raise
        run.scope.loop.cancel(run.scope.graph)
        raise FlowRunTimeoutError(error.message) from None


def _listed(body: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return list(body(*args, **kwargs))

    return call
