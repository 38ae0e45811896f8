"""Tracing without running: ``flow.trace()``.

The body of the flow runs; the tasks that it calls do not. A bare call gives a :class:`Placeholder`,
which can be passed on to other tasks. Where the body needs a real value, a ``TraceError`` says
which and where, and carries the graph so far.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from dataflow.errors import TraceError
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import CallNode
from dataflow.model.inputs import Ref, Reference
from dataflow.worker.failures import is_our_file


class Placeholder(Reference):
    """What a bare call returns while a flow is only traced: it stands for the value."""

    __slots__ = ("_node",)

    def __init__(self, node: CallNode) -> None:
        object.__setattr__(self, "_node", node)

    def refs(self) -> Ref:
        """The node whose value this stands for."""
        return Ref(object.__getattribute__(self, "_node"))

    def __repr__(self) -> str:
        return f"<value of {self.refs().node.key!r}>"

    def __getattr__(self, name: str) -> NoReturn:
        _refuse(self, f"its attribute {name!r}")


def _refuse(placeholder: Placeholder, what: str) -> NoReturn:
    node = placeholder.refs().node
    raise_trace_error(node.graph, f"the value of task run {node.key!r} ({what})")


def _refusing(what: str) -> Any:
    def refuse(self: Placeholder, *_args: Any, **_kwargs: Any) -> NoReturn:
        _refuse(self, what)

    return refuse


for _name, _what in {
    "bool": "its truth",
    "len": "its length",
    "iter": "its items",
    "getitem": "an item",
    "setitem": "an item",
    "contains": "its items",
    "call": "a call of it",
    "enter": "with",
    "exit": "with",
    "eq": "a comparison",
    "ne": "a comparison",
    "lt": "a comparison",
    "le": "a comparison",
    "gt": "a comparison",
    "ge": "a comparison",
    "hash": "its hash",
    "int": "a number",
    "float": "a number",
    "index": "a number",
    "str": "its text",
    "format": "its text",
    "await": "await",
    **dict.fromkeys(
        "add radd sub rsub mul rmul truediv rtruediv floordiv mod pow neg matmul and or".split(),
        "arithmetic",
    ),
}.items():
    setattr(Placeholder, f"__{_name}__", _refusing(_what))


class DryQueue:
    """Stands where the run loop's queue stands for a graph that runs: it refuses to wait."""

    started = True

    def __init__(self) -> None:
        self.loop = self
        self.runner = self

    def traced(self, graph: FlowGraph) -> None:
        """Nothing is planned."""

    def flush(self, graph: FlowGraph) -> NoReturn:
        """Someone asks for a result."""
        raise_trace_error(graph, "the result, the state or the end of a task run")

    def helps(self, inside: bool) -> bool:
        """Nothing is carried out."""
        return False


def raise_trace_error(graph: FlowGraph, what: str) -> NoReturn:
    """Refuse what needs a value.

    Raises:
        TraceError: always; with the user's file and line.
    """
    file, line = _user_line()
    raise TraceError(
        f"Flow {graph.flow_name!r} cannot be traced without running it: {file}, line {line}, "
        f"needs {what}.",
        hint="Move what depends on the value into a task, or run the flow and draw its run.",
        graph=graph,
        file=file,
        line=line,
    )


def _user_line() -> tuple[str, int]:
    frame = sys._getframe(1)
    while frame.f_back is not None and is_our_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def dry_graph(flow_name: str) -> FlowGraph:
    """An empty graph that only records."""
    graph = FlowGraph("0" * 32, flow_name, copies_arguments=False)
    graph.is_dry = True
    graph.queue = DryQueue()
    return graph
