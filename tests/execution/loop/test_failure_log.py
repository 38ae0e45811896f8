"""Failures are logged, each once; many of them not one by one."""

from __future__ import annotations

import logging

from dataflow import task
from dataflow.execution.loop.failure_log import MAX_TOLD, FailureLog
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.trace import trace_map
from dataflow.model.batches import RunInfo
from dataflow.model.records import AttemptRecord
from dataflow.model.states import StateCode


@task
def work(x: int) -> int:
    """Fails in the records of these tests."""
    return x


def graph_of_a_map() -> FlowGraph:
    graph = FlowGraph("r" * 32, "failing")
    graph.info = RunInfo("r" * 32, "run", "failing")
    trace_map(graph, work, (range(100),), {}, None)
    return graph


def attempt(index: int, number: int = 1, code: int = StateCode.FAILED) -> AttemptRecord:
    name = StateCode(code).state_name
    return AttemptRecord(
        "r" * 32, 0, index, number, code, name, f"bad {index}", "E", b"", "", 1, 2, "w"
    )


def test_a_line_tells_of_an_attempt_and_of_the_one_that_follows() -> None:
    log, graph = FailureLog(), graph_of_a_map()
    retries = {(0, 1, 1): 0.5, (0, 2, 2): 0.0}
    lines = log.lines_of(graph, [attempt(0), attempt(1), attempt(2, 2)], retries)
    assert [(line.level, line.task_run_name, line.message) for line in lines] == [
        (logging.ERROR, "work-0[0]", "Failed: bad 0"),
        (logging.WARNING, "work-0[1]", "Failed: bad 1; attempt 2 follows in 0.5 s"),
        (logging.WARNING, "work-0[2]", "Failed: bad 2; attempt 3 follows at once"),
    ]


def test_of_many_the_first_are_logged_and_that_there_are_more() -> None:
    log, graph = FailureLog(), graph_of_a_map()
    tried_again = {(0, index, 1): 0.0 for index in range(50)}
    lines = log.lines_of(graph, [attempt(index) for index in range(100)], tried_again)
    assert len(lines) == 2 * (MAX_TOLD + 1)
    assert lines[MAX_TOLD].message.startswith("More attempts of 'work-0'")
    assert lines[-1].message.startswith("More task runs of 'work-0'")
    assert log.lines_of(graph, [attempt(0, 2)], {}) == []
    log.forget(graph)
    assert len(log.lines_of(graph, [attempt(0, 2)], {})) == 1


def test_what_ended_well_is_not_logged() -> None:
    assert FailureLog().lines_of(graph_of_a_map(), [attempt(0, 1, StateCode.COMPLETED)], {}) == []
