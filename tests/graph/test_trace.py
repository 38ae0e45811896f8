"""Calls become nodes: arguments, edges, copies, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataflow import allow_failure, quote, task, unmapped
from dataflow.errors import (
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    RunFinishedError,
    TransferError,
)
from dataflow.futures import FutureList, TaskFuture
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.large_values import LARGE_BYTES
from dataflow.graph.references import find_refs
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.batches import Hole
from dataflow.model.inputs import Aligned, Chunked, Fixed, Gathered, Listed, Packed, Ref, Spread


@task
def two(a: Any, b: Any = 0, *rest: Any, c: Any = None, **named: Any) -> Any:
    return a, b, rest, c, named


@task
def one(x: Any) -> Any:
    return x


@pytest.fixture
def graph() -> FlowGraph:
    return FlowGraph("0" * 32, "traced")


def submit(graph: FlowGraph, *args: Any, **kwargs: Any) -> Any:
    return trace_submit(graph, two, args, kwargs, None)


def test_plain_arguments_are_kept_as_they_are(graph: FlowGraph) -> None:
    node = submit(graph, 1, "b", c=None)
    assert node.arguments == ((1, "b"), {"c": None})
    assert node.links is None
    assert node.key == "two-0"


def test_mutable_arguments_are_what_they_were_at_the_call(graph: FlowGraph) -> None:
    values = [1, 2]
    node = submit(graph, values)
    values.clear()
    assert pickle.loads(node.arguments) == (([1, 2],), {})


@pytest.mark.parametrize("size", [10, LARGE_BYTES + 1])
def test_a_bytearray_is_what_it_was_at_the_call(graph: FlowGraph, size: int) -> None:
    data = bytearray(size)
    submitted = submit(graph, data)
    mapped = trace_map(graph, two, ([data, bytearray(1)], unmapped(data)), {}, None)
    data[0] = 1
    again = submit(graph, data)
    assert (_first_argument(submitted)[0], _first_argument(again)[0]) == (0, 1)
    chunked, packed = mapped.args
    assert isinstance(chunked, Chunked)
    assert isinstance(packed, Packed)
    assert pickle.loads(chunked.chunks[0])[0][0] == 0
    assert packed.column.load(0)[0] == 0


def _first_argument(node: Any) -> Any:
    if node.links:
        ((where, packed),) = node.links
        assert where == 0
        return packed.column.load(0)
    return pickle.loads(node.arguments)[0][0]


@pytest.mark.parametrize("size", [10, LARGE_BYTES + 1])
def test_a_memoryview_is_the_bytes_that_it_showed_at_the_call(graph: FlowGraph, size: int) -> None:
    data = bytearray(size)
    node = submit(graph, memoryview(data))
    data[0] = 1
    assert _first_argument(node) == bytes(size)


def test_shared_arguments_stay_the_same_objects() -> None:
    graph = FlowGraph("0" * 32, "shared", copies_arguments=False)
    values = [1, 2]
    assert submit(graph, values).arguments[0][0] is values


@dataclass
class Point:
    x: Any
    y: Any = 0


class Model(pydantic.BaseModel):
    x: Any = None


@attrs.define
class Attrs:
    x: Any


class Named(NamedTuple):
    x: Any
    y: int = 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: [f, None, [f]],
        lambda f: (1, f),
        lambda f: {"k": f},
        lambda f: {f: 1},
        lambda f: {f},
        lambda f: frozenset({f}),
        Point,
        lambda f: Point([f]),
        lambda f: Model(x=f),
        lambda f: Model(x={"deep": Point(f)}),
        Attrs,
        Named,
    ],
)
def test_futures_are_found_in_containers(graph: FlowGraph, wrap: Any) -> None:
    first = submit(graph, 1)
    node = submit(graph, wrap(TaskFuture(first)))
    assert {ref.node for ref in node.upstream} == {first}
    (where, refs) = node.links[0]
    assert where is None
    assert refs[0] == Ref(first)
    args, _ = pickle.loads(node.arguments)
    assert _holes(args[0])
    assert type(args[0]) is type(wrap(1))


def _holes(value: Any) -> list[Hole]:
    from dataflow.model.arguments import rebuild

    found: list[Hole] = []

    def take(hole: Hole) -> Hole:
        found.append(hole)
        return hole

    rebuild(value, (Hole,), take)
    return found


def test_a_direct_future_is_a_link(graph: FlowGraph) -> None:
    first = submit(graph, 1)
    node = submit(graph, TaskFuture(first), c=allow_failure(TaskFuture(first)))
    assert node.links == ((0, Ref(first)), ("c", Ref(first, None, True)))


def test_quoted_values_are_not_looked_into(graph: FlowGraph) -> None:
    first = submit(graph, 1)
    assert list(find_refs([quote(TaskFuture(first)), TaskFuture(first)])) == [Ref(first)]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1,), {"a": 2}), ((1, 2, 3, 4), {"b": 1})])
def test_arguments_that_do_not_bind_are_refused(graph: FlowGraph, args: Any, kwargs: Any) -> None:
    with pytest.raises(ParameterBindError, match="two"):
        trace_submit(graph, two, args, kwargs, None)


DEFAULTS = st.lists(st.sampled_from(["", "=0"]), max_size=2)


@st.composite
def signatures(draw: st.DrawFn) -> str:
    """The parameters of a function, of any kinds that may follow each other."""
    by_position = draw(st.integers(0, 3))
    defaults = draw(st.integers(0, by_position))
    parts = [f"p{at}" + "=0" * (at >= by_position - defaults) for at in range(by_position)]
    if by_position and draw(st.booleans()):
        parts.insert(draw(st.integers(1, by_position)), "/")
    by_name = [f"k{at}{default}" for at, default in enumerate(draw(DEFAULTS))]
    if draw(st.booleans()):
        parts.append("*rest")
    elif by_name:
        parts.append("*")
    return ", ".join([*parts, *by_name, *draw(st.sampled_from([[], ["**named"]]))])


@example("p0=0, /, **named", 0, {"p0"})
@example("p0, /, **named", 0, {"p0"})
@given(signatures(), st.integers(0, 5), st.sets(st.sampled_from(["p0", "p2", "k0", "k1", "other"])))
def test_arguments_are_refused_if_python_refuses_them(
    parameters: str, count: int, names: set[str]
) -> None:
    space: dict[str, Any] = {}
    exec(f"def made({parameters}): pass", space)
    args, kwargs = (1,) * count, dict.fromkeys(names, 2)
    try:
        space["made"](*args, **kwargs)
    except TypeError:
        with pytest.raises(ParameterBindError, match="made"):
            task(space["made"]).check_arguments(args, kwargs)
    else:
        task(space["made"]).check_arguments(args, kwargs)


def test_an_unpicklable_argument_is_named_with_its_path(graph: FlowGraph) -> None:
    import threading

    with pytest.raises(TransferError, match=r"'a'.*'two'.*\['deep'\]\[1\]"):
        submit(graph, {"deep": [1, threading.Lock()]})


def test_nothing_is_added_to_a_closed_graph(graph: FlowGraph) -> None:
    graph.closed = True
    with pytest.raises(RunFinishedError):
        submit(graph, 1)


def mapped(graph: FlowGraph, *args: Any, **kwargs: Any) -> Any:
    return trace_map(graph, two, args, kwargs, None)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(3),
        {1, 2, 3},
        iter([1, 2, 3]),
        np.arange(3),
        pd.Series([1, 2, 3]),
    ],
)
def test_what_is_mapped_over(graph: FlowGraph, values: Any) -> None:
    assert mapped(graph, values).length == 3


@pytest.mark.parametrize(
    "value", ["abc", b"abc", {"a": 1}, pd.DataFrame({"a": [1]}), Point(1), Model(), 5, None]
)
def test_what_is_given_whole_to_each_element(graph: FlowGraph, value: Any) -> None:
    node = mapped(graph, [1, 2], value)
    assert isinstance(node.args[1], (Fixed, Packed))
    with pytest.raises(MappingMissingIterable, match="unmapped"):
        mapped(graph, value)


def test_lengths_must_agree(graph: FlowGraph) -> None:
    with pytest.raises(MappingLengthMismatch, match="a: 2, b: 3"):
        mapped(graph, [1, 2], [1, 2, 3])


def test_kinds_of_map_inputs(graph: FlowGraph) -> None:
    single = TaskFuture(trace_submit(graph, one, (1,), {}, None))
    first = FutureList(node=trace_map(graph, one, (range(4),), {}, None))
    node = mapped(
        graph, first, [single] * 4, [[1]] * 3 + [[2]], c=unmapped([single]), d=unmapped([9])
    )
    kinds = [type(item) for item in (*node.args, *node.kwargs.values())]
    assert kinds == [Aligned, Gathered, Chunked, Fixed, Packed]
    assert isinstance(mapped(graph, single).args[0], Spread)
    assert mapped(graph, single).length is None
    assert isinstance(mapped(graph, list(first)).args[0], Aligned)
    assert isinstance(mapped(graph, first[1:]).args[0], Gathered)
    assert isinstance(mapped(graph, [1, single]).args[0], Listed)


def test_the_same_object_many_times_is_sent_once(graph: FlowGraph) -> None:
    frame = pd.DataFrame({"a": range(1000)})
    node = mapped(graph, range(50), [frame] * 50)
    assert isinstance(node.args[1], Packed)
    assert node.args[1].column.load(0).equals(frame)


def test_an_empty_map_has_length_0(graph: FlowGraph) -> None:
    assert mapped(graph, []).length == 0


def test_edges_of_the_dag(graph: FlowGraph) -> None:
    a = TaskFuture(submit(graph, 1))
    b = FutureList(node=trace_map(graph, one, (range(5),), {}, None))
    trace_submit(graph, two, (b, [a]), {}, None)
    trace_submit(graph, one, (1,), {}, [a, [b]])
    dag = graph.dag
    assert list(dag.edges(data="kind")) == [
        ("two-0", "two-1", "data"),
        ("two-0", "one-1", "order"),
        ("one-0", "two-1", "data"),
        ("one-0", "one-1", "order"),
    ]
    assert dag.nodes["one-0"]["length"] == 5
