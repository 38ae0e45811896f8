"""Values that nobody can ask for any more are let go, and no others, whatever happens."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import task
from dataflow.execution import results
from dataflow.futures import FutureList, TaskFuture
from dataflow.graph.nodes import TaskNode
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.states import StateCode
from tests.execution.simulated_runner import SimulatedRun


@task
def total(number: int, *values: int) -> int:
    return (number + 3 * sum(values)) % 1009


@task
def double(value: int) -> int:
    return 2 * value


@settings(max_examples=200, deadline=None)
@given(
    needs=st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30),
    kept=st.sets(st.integers(0, 29)),
    fates=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=40),
    parts=st.sets(st.integers(0, 30)),
    late=st.booleans(),
)
def test_only_what_nobody_can_ask_for_is_let_go(
    needs: list[list[int]],
    kept: set[int],
    fates: list[tuple[int, int]],
    parts: set[int],
    late: bool,
) -> None:
    run = SimulatedRun()
    futures: list[Any] = []
    expected: list[int] = []
    for number, sources in enumerate(needs):
        chosen = [source % number for source in sources] if number else []
        inputs = [futures[source] for source in chosen]
        futures.append(TaskFuture(trace_submit(run.graph, total, (number, *inputs), {}, None)))
        expected.append(total.fn(number, *(expected[source] for source in chosen)))
    del inputs
    wanted = {at: futures[at] for at in kept if at < len(futures)}
    if not late:
        futures.clear()
    run.trace()
    losses = 0
    for what, number in fates:
        if not run.under_way:
            break
        if what < 4:
            run.carry_out(number, number % 4 + 1 if what % 2 else None, parts)
        elif losses < 2:
            losses += 1
            run.lose(number, number, parts)
    run.run_to_end()
    futures.clear()
    for at, node in enumerate(run.graph):
        assert isinstance(node, TaskNode)
        assert node.announced == StateCode.COMPLETED
        assert node.users == 0
        if at in wanted:
            assert results.value_of(node, None) == expected[at]
        else:
            assert node.column is None


def test_the_values_of_a_map_go_with_those_who_need_them() -> None:
    run = SimulatedRun()
    first = trace_map(run.graph, double, (range(10),), {}, None)
    futures: FutureList[int] = FutureList(node=first)
    last = trace_submit(run.graph, total, (0, futures[3]), {}, None)
    whole = trace_map(run.graph, double, (range(10),), {}, None)
    listed: FutureList[int] = FutureList(node=whole)
    node = trace_submit(run.graph, _add_up, (listed,), {}, None)
    run.trace()
    del listed
    run.run_to_end()
    assert results.value_of(last, None) == 18
    assert results.value_of(node, None) == 90
    assert results.value_of(first, 4) == 8  # someone has the list
    assert all(segment.column is None for segment in whole.segments)


@task
def _add_up(values: list[int]) -> int:
    return sum(values)
