"""Which single calls share a batch: what can begin, and what follows from it."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataflow import task
from dataflow.execution.loop.state.run_state import RunState
from dataflow.futures import TaskFuture
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import TaskNode
from dataflow.graph.trace import trace_submit
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.planner.calls import UNKNOWN_CALLS, WAIT_DISPATCHES, CallPicker
from dataflow.planner.cost_book import CostBook

COSTS = RunnerCosts(dispatch_seconds=0.001, target_seconds=0.1)
WAIT = WAIT_DISPATCHES * COSTS.dispatch_seconds


@task
def join(*values: Any) -> Any:
    return values


apart = join.with_options(name="apart", resources={"GPU": 1})
limited = join.with_options(name="limited", timeout_seconds=5)
TASKS = [join, join, apart, limited]


class _Queue:
    """Takes what can begin, as the queue of a runner does."""

    def __init__(self) -> None:
        self.ready: deque[TaskNode] = deque()

    def add_call(self, node: TaskNode) -> None:
        self.ready.append(node)


def traced(needs: list[list[int]], kinds: list[int] | None = None) -> _Queue:
    """A graph of calls, each needing some before it."""
    graph = FlowGraph("0" * 32, "picked")
    queue: Any = _Queue()
    graph.queue = queue
    futures: list[Any] = []
    for number, sources in enumerate(needs):
        given_ = [futures[source % len(futures)] for source in sources] if futures else []
        which = TASKS[kinds[number % len(kinds)]] if kinds else join
        futures.append(TaskFuture(trace_submit(graph, which, tuple(given_), {}, None)))
    RunState(lambda: 0).traced(graph.nodes)
    found: _Queue = queue
    return found


def picked(
    queue: _Queue, most: int, seconds: float | None = None, nbytes: float | None = None
) -> CallPicker:
    book = CostBook()
    if seconds is not None:
        for each in TASKS:
            book.learn(each.name, 1, seconds, nbytes)
    picker = CallPicker(COSTS, book)
    picker.pick(queue.ready, most)
    return picker


NEEDS = st.lists(st.lists(st.integers(0, 40), max_size=3), min_size=1, max_size=40)
SECONDS = st.none() | st.floats(1e-6, 0.2)


@given(NEEDS, st.lists(st.integers(0, 3), min_size=1), st.integers(1, 20), SECONDS, st.booleans())
def test_each_call_comes_after_what_it_needs(
    needs: list[list[int]],
    kinds: list[int],
    most: int,
    seconds: float | None,
    in_turn: bool,
) -> None:
    queue = traced(needs, kinds)
    heads = set(map(id, queue.ready))
    picker = picked(queue, most, seconds)
    first = picker.calls[0]
    if in_turn:
        picker.put_depths_in_turn()
    calls = picker.calls
    assert calls
    if seconds is None or seconds > COSTS.dispatch_seconds:
        assert sum(id(node) in heads for node in calls) <= most
    taken: set[int] = set()
    for node in calls:
        assert all(id(ref.node) in taken for ref in node.upstream)
        assert node.aboard
        taken.add(id(node))
    assert len(taken) == len(calls)
    assert not any(node.aboard for node in queue.ready)
    followers = [node for node in calls if id(node) not in heads]
    assert all(node.task.timeout_seconds is None for node in followers)
    if followers:
        assert len({str(node.task.resources) for node in [first, *followers]}) == 1


@given(NEEDS, st.floats(1e-4, 0.2))
def test_a_batch_ends_in_time_and_widens_for_some_dispatches_only(
    needs: list[list[int]], seconds: float
) -> None:
    calls = picked(traced(needs), 1, seconds).calls
    assert (len(calls) - 1) * seconds < COSTS.target_seconds
    depths: dict[int, int] = {}
    widths: dict[int, int] = {}
    for node in calls:
        depth = 1 + max((depths[id(ref.node)] for ref in node.upstream), default=-1)
        depths[id(node)] = depth
        widths[depth] = widths.get(depth, 0) + 1
    beyond = sum(width - 1 for width in widths.values())
    assert beyond <= WAIT / seconds + 1


def test_a_chain_is_taken_whole_while_it_is_unknown_how_long_it_takes() -> None:
    chain = [[], *([number] for number in range(3000))]
    assert len(picked(traced(chain), 1).calls) == UNKNOWN_CALLS


def test_half_of_a_stencil_is_taken_as_a_triangle() -> None:
    width = 8
    row = [
        [(t - 1) * width + j for j in (i - 1, i, i + 1) if 0 <= j < width]
        for t in (1, 2, 3)
        for i in range(width)
    ]
    calls = picked(traced([[]] * width + row), 4, 0.0005).calls
    assert [node.id for node in calls if node.id < width] == [0, 1, 2, 3]
    assert {node.id for node in calls if node.id >= width} == {8, 9, 10, 16, 17, 24}


def test_no_branch_is_ahead_of_the_others_unless_values_are_large() -> None:
    chains: list[list[int]] = [[], [], [0], [1], [2], [3]]
    for nbytes, order in ((100, [0, 1, 2, 3, 4, 5]), (1e6, [0, 2, 4, 1, 3, 5])):
        picker = picked(traced(chains), 2, 0.0005, nbytes)
        assert [node.id for node in picker.calls] == [0, 2, 4, 1, 3, 5]
        picker.put_depths_in_turn()
        assert [node.id for node in picker.calls] == order


def test_calls_beside_which_others_wait_are_taken_only_if_they_are_quick() -> None:
    needs: list[list[int]] = [[], [0], [0], [1], [2]]
    assert len(picked(traced(needs), 1, WAIT / 8).calls) == 5
    assert [node.id for node in picked(traced(needs), 1, WAIT).calls] == [0, 1, 3]
    assert len(picked(traced(needs), 1, 1.01 * WAIT).calls) == 1
    chain: list[list[int]] = [[], [0], [1]]
    assert len(picked(traced(chain), 1, 1.01 * WAIT).calls) == 3


def test_a_tree_that_closes_is_taken_with_its_leaves() -> None:
    leaves: list[list[int]] = [[]] * 8
    tree = [*leaves, [0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13]]
    assert len(picked(traced(tree), 8, 0.004).calls) == 15


def test_a_fan_out_is_left_to_the_others() -> None:
    calls = picked(traced([[], *[[0]] * 100]), 1, 0.01).calls
    assert len(calls) <= 2


def test_what_may_have_ended_its_worker_goes_alone() -> None:
    queue = traced([[], [], [0]])
    queue.ready[0].alone = True
    assert [node.id for node in picked(queue, 5).calls] == [0]
    queue = traced([[], [], [0]])
    queue.ready[1].alone = True
    assert [node.id for node in picked(queue, 5).calls] == [0, 2]
