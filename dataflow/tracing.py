"""``flow.trace``, ``flow.plan`` and ``flow.visualize``: what a flow would do, without doing it."""

from __future__ import annotations

from typing import Any

from dataflow.errors import TraceError
from dataflow.execution.planning import plan_graph
from dataflow.execution.runner_choice import choose_runner
from dataflow.execution.scope import RunScope, log_level
from dataflow.graph.dry_run import dry_graph
from dataflow.graph.flow_graph import FlowGraph
from dataflow.model.batches import RunInfo
from dataflow.planner.plan import Plan
from dataflow.store.run_store import open_store
from dataflow.worker.call_context import current_call, current_scope
from dataflow.worker.failures import without_our_frames


def trace_flow(flow: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FlowGraph:
    """Run the body of a flow with nothing executed, and return its graph.

    Raises:
        ParameterTypeError: parameters are of the wrong type.
        TraceError: the body needs the value of a task; it has the graph so far.
    """
    parameters = flow.validated_parameters(args, kwargs)
    graph = dry_graph(flow.name)
    info = RunInfo(graph.run_id, flow.name, flow.name, parameters=parameters, log_level=log_level())
    graph.info = info
    scope = RunScope(info, graph, graph.queue.runner, graph.queue.loop)
    scope_token, call_token = current_scope.set(scope), current_call.set(None)
    try:
        call_args, call_kwargs = flow.call_arguments(parameters)
        found = flow.fn(*call_args, **call_kwargs)
        if flow.kind == "async":
            from dataflow.worker.async_calls import run_coroutine

            run_coroutine(found)
        elif flow.kind == "generator":
            list(found)
    except TraceError as error:
        error.__traceback__ = without_our_frames(error.__traceback__)
        raise
    finally:
        current_call.reset(call_token)
        current_scope.reset(scope_token)
        graph.closed = True
    return graph


def plan_flow(flow: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
    """The plan of a flow's graph on its runner, by what its tasks took in earlier runs."""
    runner = choose_runner(flow.task_runner)
    graph = trace_flow(flow, args, kwargs)
    seconds = open_store().task_seconds({node.task.name for node in graph}, flow.name)
    return plan_graph(graph, runner.name, runner.slots, runner.costs, seconds)
