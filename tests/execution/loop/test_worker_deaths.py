"""What a run logs of a worker that died."""

from __future__ import annotations

from typing import Any

import pytest

from dataflow import task
from dataflow.execution.loop.queues import Flight
from dataflow.execution.loop.worker_deaths import death_records, held_by
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.batches import RunInfo
from dataflow.model.states import StateCode

RUN = "r" * 32
NOBODY: Any = None


@task
def work(x: int) -> int:
    """What the worker was at."""
    return x


@task
def next_to(x: int) -> int:
    """Fused onto it."""
    return x


@pytest.fixture
def graph() -> FlowGraph:
    found = FlowGraph(RUN, "deadly")
    found.info = RunInfo(RUN, "run", "deadly")
    return found


def test_elements_of_fused_maps_that_have_not_ended(graph: FlowGraph) -> None:
    for each in (work, next_to):
        trace_map(graph, each, (range(100),), {}, None)
    stages: list[Any] = list(graph.nodes)
    for stage in stages:
        stage.settled = bytearray(100)  # as when the planner has taken it
    stages[1].settled[6] = StateCode.COMPLETED
    flight = Flight(NOBODY, NOBODY, stages=stages, elements=[2, 3, 4, 6, 7], ended={0, 1, 2})
    # told of: both stages of 2, the first one of 3
    assert held_by([flight]) == {
        RUN: ["work-0[4]", "work-0[6..7]", "next_to-0[3..4]", "next_to-0[7]"]
    }


def test_single_calls_that_have_not_ended(graph: FlowGraph) -> None:
    for number in range(3):
        trace_submit(graph, work, (number,), {}, None)
    calls: list[Any] = list(graph.nodes)
    calls[2].code = int(StateCode.CANCELLED)
    assert held_by([Flight(NOBODY, NOBODY, calls=calls, ended={0})]) == {RUN: ["work-1"]}
    assert held_by([Flight(NOBODY, NOBODY, calls=calls, ended={0, 1})]) == {}


def test_a_line_names_the_first_of_many() -> None:
    (line,) = death_records({RUN: [f"work-{number}" for number in range(12)]}, "It died: why")
    assert line.run_id == RUN
    assert line.node is None
    shown = ", ".join(f"work-{number}" for number in range(10))
    assert line.message == f"It died: why. It held {shown} and 2 more, not ended yet."
