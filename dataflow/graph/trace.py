"""Calls become nodes: arguments are bound, futures in them become edges, the rest is copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dataflow.clock import now_ns
from dataflow.errors import (
    RunFinishedError,
)
from dataflow.graph.argument_copies import pickled_arguments
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.map_inputs import MapInputs
from dataflow.graph.nodes import CallNode, MapNode, TaskNode
from dataflow.graph.references import Finder, find_refs, is_atom, plain_links
from dataflow.model.inputs import (
    Ref,
)


def trace_submit(
    graph: FlowGraph,
    task: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    origins: tuple[Ref, ...] = (),
) -> TaskNode:
    """Add the node of ``task.submit(*args, **kwargs)``.

    ``origins`` are the calls in place whose values are among the arguments.

    Raises:
        ParameterBindError: the arguments do not fit.
        TransferError: an argument cannot be pickled, though it has to be.
        RunFinishedError: the run has ended.
    """
    check_open(graph, task)
    task.check_arguments(args, kwargs)
    if not kwargs or all(map(is_atom, kwargs.values())):
        for value in args:
            if not is_atom(value):
                break
        else:
            return _add(graph, task, (args, kwargs), None, (), wait_for, ())
        plain = plain_links(args)
        if plain is not None:
            links, refs, stripped = plain
            return _add(graph, task, (stripped, kwargs), links, (*refs, *origins), wait_for, args)
    found = Finder(graph)
    args = tuple(found.strip(number, value) for number, value in enumerate(args))
    kwargs = {name: found.strip(name, value) for name, value in kwargs.items()}
    links, upstream = found.links(), (*found.refs, *origins)
    arguments: Any = (args, kwargs)
    if graph.copies_arguments and not found.only_atoms:
        arguments = pickled_arguments(task, args, kwargs)
    return _add(graph, task, arguments, links, upstream, wait_for, found.held)


def check_open(graph: FlowGraph, task: Any) -> None:
    """Refuse to add to a graph whose run has ended.

    Raises:
        RunFinishedError: with the names of the run's flow and the task.
    """
    if graph.closed:
        raise RunFinishedError(
            f"Task {task.name!r} was submitted to a run of {graph.flow_name!r} that has ended.",
            hint="Submit before the body of the flow returns (a thread may have outlived it).",
        )


def _add(
    graph: FlowGraph,
    task: Any,
    arguments: Any,
    links: Any,
    upstream: tuple[Ref, ...],
    wait_for: Any,
    held: Sequence[Any],
) -> TaskNode:
    order = () if wait_for is None else tuple(find_refs(wait_for))
    node = TaskNode(
        graph, task, graph.next_number(task.name), arguments, links, upstream, order, now_ns()
    )
    graph.add(node, held)
    return node


def trace_call(
    graph: FlowGraph, kind: str, task: Any, upstream: Iterable[Ref], order: Iterable[Ref]
) -> CallNode:
    """Add the node of a call in place (``kind`` "call") or of a subflow (``"flow"``)."""
    check_open(graph, task)
    number = graph.next_number(task.name)
    node = CallNode(graph, kind, task, number, tuple(upstream), tuple(order), now_ns())
    graph.add(node)
    return node


def trace_map(
    graph: FlowGraph,
    task: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    origins: tuple[Ref, ...] = (),
) -> MapNode:
    """Add the node of ``task.map(*args, **kwargs)``.

    Raises:
        ParameterBindError: the arguments do not fit.
        MappingMissingIterable: there is nothing to map over.
        MappingLengthMismatch: the iterables have different lengths.
        TransferError: an argument cannot be pickled, though it has to be.
    """
    check_open(graph, task)
    task.check_arguments(args, kwargs)
    mapper = MapInputs(graph, task)
    mapper.refs.extend(origins)
    inputs = tuple([mapper.input(name, value) for name, value in task.argument_names(args, {})])
    named = {name: mapper.input(name, value) for name, value in kwargs.items()} if kwargs else {}
    length = mapper.length()
    order = () if wait_for is None else tuple(find_refs(wait_for))
    node = MapNode(
        graph,
        task,
        graph.next_number(task.name),
        inputs,
        named,
        tuple(mapper.refs),
        order,
        length,
        now_ns(),
    )
    graph.add(node, (args, kwargs))
    return node
