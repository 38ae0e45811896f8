"""The longest path decides what comes first."""

from __future__ import annotations

from typing import Any

import networkx
from hypothesis import given
from hypothesis import strategies as st

from dataflow import task
from dataflow.futures import TaskFuture
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.trace import trace_submit
from dataflow.planner.priorities import rank_by_longest_path


@task
def join(values: Any) -> Any:
    return values


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), max_size=30))
def test_heights_are_the_longest_paths_to_the_end(needs: list[list[int]]) -> None:
    graph = FlowGraph("0" * 32, "ranked")
    futures: list[Any] = []
    for sources in needs:
        given_ = [futures[number % len(futures)] for number in sources] if futures else []
        futures.append(TaskFuture(trace_submit(graph, join, (given_,), {}, None)))
    rank_by_longest_path(graph.nodes)
    dag = graph.dag.reverse()
    for node in graph:
        paths = networkx.single_source_shortest_path_length(graph.dag, node.key)
        longest = networkx.dag_longest_path_length(dag.subgraph(paths), weight="", default_weight=1)
        assert node.height == longest  # type: ignore[union-attr]
