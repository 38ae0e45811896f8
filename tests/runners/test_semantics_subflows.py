"""Semantics, subflows: flows in flows, flow.submit and flow.map, and what the store has of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dataflow import flow, records, runtime, task
from dataflow.errors import UpstreamTaskError
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def double(x):
    return 2 * x


@task
def fail(x):
    raise ValueError(f"bad {x}")


@flow
def child(x):
    return double.submit(x)


@flow
def failing_child(x):
    fail.submit(x)


@flow
def parent():
    values = [child(n) for n in range(3)]
    chained = child(double.submit(10))
    return values, chained, double.submit(chained)


def test_subflows_are_linked_to_their_parent() -> None:
    assert parent() == ([0, 2, 4], 40, 80)
    run = run_of(parent)
    flows = [node for node in run.nodes() if node.kind == "flow"]
    assert [node.name for node in flows] == [f"child-{n}" for n in range(4)]
    assert all(node.counts == {"Completed": 1} for node in flows)
    subflows = {sub.id: sub for sub in run.subflows()}
    assert set(subflows) == {node.child_run_id for node in flows}
    for node in flows:
        sub = subflows[str(node.child_run_id)]
        assert (sub.flow_name, sub.summary.parent_run_id) == ("child", run.id)
        assert sub.summary.parent_node == node.node
        assert sub.state.is_completed()
        assert [each.name for each in sub.nodes()] == ["double-0"]
    assert subflows[str(flows[0].child_run_id)].parameters == {"x": 0}
    fed = run.node("child-3")
    assert fed.upstream == (run.node("double-0").node,)


@flow
def failing_parent():
    try:
        failing_child(1)
    except ExceptionGroup as error:
        caught = str(error.exceptions[0])
    state = failing_child(2, return_state=True)
    return caught, state.name


def test_a_subflow_that_fails() -> None:
    assert failing_parent() == ("bad 1", "Failed")
    run = run_of(failing_parent)
    assert run.state.is_completed()
    assert [node.counts for node in run.nodes()] == [{"Failed": 1}, {"Failed": 1}]
    assert {sub.state.name for sub in run.subflows()} == {"Failed"}


@flow
def uncaught():
    failing_child(1)


def test_the_failure_of_a_subflow_fails_its_parent() -> None:
    with pytest.raises(ExceptionGroup):
        uncaught()
    assert run_of(uncaught).state.is_failed()


@flow
def needs_a_failure():
    child(fail.submit(1))


def test_a_subflow_whose_argument_failed_does_not_run() -> None:
    with pytest.raises(UpstreamTaskError, match="child-0") as caught:
        needs_a_failure()
    assert isinstance(caught.value.__cause__, ValueError)
    assert run_of(needs_a_failure).node("child-0").counts == {"Failed": 1}
    assert not run_of(child).nodes()


@flow
def ordered():
    first = double.submit(1)
    return child(5, wait_for=[first])


def test_a_subflow_waits_for_others() -> None:
    assert ordered() == 10
    run = run_of(ordered)
    assert run.node("child-0").order == (run.node("double-0").node,)


@flow(task_runner="inline")
def own_runner(x):
    return double.submit(x)


@flow
def mixed_runners():
    return own_runner(1), child(2)


def test_a_subflow_has_its_own_runner_or_its_parents(runner: str) -> None:
    assert mixed_runners() == (2, 4)
    used = {sub.flow_name: sub.summary.runner for sub in run_of(mixed_runners).subflows()}
    assert used == {"own-runner": "inline", "child": runner}


@flow
def nested(depth):
    return 0 if depth == 0 else 1 + nested(depth - 1)


def test_flows_nest() -> None:
    assert nested(4) == 4
    runs = records.runs(flow_name="nested")
    assert len(runs) == 5
    assert sum(run.summary.parent_run_id is None for run in runs) == 1


@flow
async def async_child(x):
    await asyncio.sleep(0.01)
    return double.submit(x), runtime.flow_run.id


@flow
async def async_parent():
    return await asyncio.gather(*(async_child(n) for n in range(4)))


def test_async_subflows_are_gathered_each_in_its_own_run() -> None:
    found = asyncio.run(async_parent())
    assert [value for value, _ in found] == [0, 2, 4, 6]
    assert len({run_id for _, run_id in found}) == 4
    run = run_of(async_parent)
    assert {sub.id for sub in run.subflows()} == {run_id for _, run_id in found}
    assert len(run.nodes()) == 4


# --- flow.submit and flow.map --------------------------------------------------------------------


@flow
def about_me(x):
    values = double.map(range(x))
    return runtime.flow_run.flow_name, values, runtime.flow_run.parent_flow_run_id is not None


@flow
def submits_flows():
    future = about_me.submit(2)
    mapped = child.map([1, 2, 3])
    with_future = child.submit(double.submit(4))
    bad = failing_child.submit(7)
    assert isinstance(bad.result(raise_on_failure=False), ExceptionGroup)
    return future, mapped, with_future, bad.state.name


def test_flows_are_submitted_and_mapped() -> None:
    mine, mapped, fed, bad = submits_flows(return_state=True).data
    assert mine == ("about-me", [0, 2], True)
    assert (mapped, fed, bad) == ([2, 4, 6], 16, "Failed")


@flow
def submits_and_maps_a_flow():
    return child.submit(4), child.map([1, 2, 3])


def test_submitted_flows_have_runs_of_their_own_right_below_their_parent() -> None:
    assert submits_and_maps_a_flow() == (8, [2, 4, 6])
    run = run_of(submits_and_maps_a_flow)
    submitted, mapped = run.nodes()
    assert counts_of(submits_and_maps_a_flow) == {
        "child-0": {"Completed": 1},
        "child-1": {"Completed": 3},
    }
    subflows = run.subflows()
    assert sorted(sub.parameters["x"] for sub in subflows) == [1, 2, 3, 4]
    for sub in subflows:
        assert sub.state.is_completed()
        assert [(node.kind, node.task_name) for node in sub.nodes()] == [("task", "double")]
        assert not sub.subflows()
        is_single = sub.parameters["x"] == 4
        assert sub.summary.parent_node == (submitted.node if is_single else mapped.node)
        assert (submitted.child_run_id == sub.id) is is_single


def test_flow_submit_outside_a_flow() -> None:
    assert child.submit(4).result() == 8
    assert child.map([1, 2]).result() == [2, 4]


def test_wrong_parameters_of_a_subflow() -> None:
    @flow(name="wrong")
    def wrong() -> Any:
        return child(y=1)

    with pytest.raises(TypeError, match="'y'"):
        wrong()
    assert run_of(wrong).state.is_failed()
