"""The three verbs of a task: call, submit, map.

Kept out of ``dataflow.tasks`` so that defining tasks does not load what runs them.
"""

from __future__ import annotations

from typing import Any

from dataflow.clock import ticks_ns
from dataflow.execution import results
from dataflow.execution.flow_runs.call_in_place import call_task, origin_of
from dataflow.execution.scope import RunScope, active_scope
from dataflow.futures import FutureList, TaskFuture
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.annotations import innermost
from dataflow.model.inputs import Ref
from dataflow.worker.call_context import current_transaction


def call(
    task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
) -> Any:
    """``task(...)``."""
    if not task.kind.startswith("async"):
        return call_task(task, args, kwargs, wait_for, return_state)
    from dataflow.execution.flow_runs.async_call_in_place import call_task_async

    coroutine = call_task_async(task, args, kwargs, wait_for, return_state)
    from dataflow.worker.async_calls import is_in_async_code, run_coroutine

    return coroutine if is_in_async_code() else run_coroutine(coroutine)


def submit(
    task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
) -> Any:
    """``task.submit(...)``."""
    scope = active_scope()
    times = scope.graph.times
    stands_for = times.stands_for()
    begun = ticks_ns() if stands_for else 0
    scope.graph.expect_results(task)
    node = trace_submit(scope.graph, task, args, kwargs, wait_for, _origins(scope, args, kwargs))
    future: TaskFuture[Any] = TaskFuture(node)
    if node.upstream or node.order:  # most have neither, and a call costs a fiftieth of a submit
        _take_notice(node)
    _join_transaction(node)
    scope.loop.traced(scope.graph)
    if stands_for:
        times.traced(begun, stands_for)
    _carry_out_here(scope, node)
    if return_state:
        future.wait()
        return future.state
    return future


def map_task(
    task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
) -> Any:
    """``task.map(...)``."""
    scope = active_scope()
    begun = ticks_ns()
    scope.graph.expect_results(task)
    node = trace_map(scope.graph, task, args, kwargs, wait_for, _origins(scope, args, kwargs))
    futures: FutureList[Any] = FutureList(node=node)
    _take_notice(node)
    _join_transaction(node)
    scope.loop.traced(scope.graph)
    scope.graph.times.traced(begun)
    _carry_out_here(scope, node)
    if return_state:
        futures.wait()
        return futures.states()
    return futures


def _origins(scope: RunScope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Ref, ...]:
    """The bare calls whose values are among the arguments: an edge of the graph, no more."""
    if not scope.results and not scope.recent:
        return ()
    found = (origin_of(scope, innermost(value)) for value in (*args, *kwargs.values()))
    return tuple(Ref(node) for node in found if node is not None)


def _take_notice(node: Any) -> None:
    for refs in (node.upstream, node.order):
        for ref in refs:
            if ref.allow_failure:
                results.notice(ref.node, ref.element)


def _join_transaction(node: Any) -> None:
    transaction = current_transaction.get()
    if transaction is not None:
        transaction.add(node)


def _carry_out_here(scope: RunScope, node: Any) -> None:
    if scope.runner.helps(False):  # inline: in order, here and now
        results.wait_ended(node, None, None)
