"""Plans: what they say is what a run does, and how long they say it takes is about right."""

from __future__ import annotations

import time
from typing import Any

import pytest
from IPython.lib.pretty import pretty

from dataflow import ProcessPoolTaskRunner, allow_failure, flow, task, unmapped
from dataflow.execution.planning import plan_graph
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.planner.plan import Plan, PlannedStage

COSTS = RunnerCosts(dispatch_seconds=400e-6, target_seconds=0.05)


pytestmark = pytest.mark.usefixtures("home")


@task
def add_one(number: int) -> int:
    return number + 1


@task
def total(*numbers: Any) -> int:
    return sum(numbers)


@task
def listed(number: int) -> list[int]:
    return list(range(number))


@task
async def fetch(number: int) -> int:
    return number


@task(timeout_seconds=10)
def limited(number: int) -> int:
    return number


def planned(body: Any, slots: int = 2, **seconds: float) -> Plan:
    """The plan of a flow whose tasks take so long."""
    return plan_graph(flow(body, name="planned").trace(), "processes", slots, COSTS, seconds)


def stage_of(plan: Plan, name: str) -> PlannedStage:
    (found,) = [stage for stage in plan.stages if name in stage.names]
    return found


def test_a_map() -> None:
    plan = planned(lambda: add_one.map(range(1000)), add_one=0.01)
    (stage,) = plan.stages
    assert (stage.kind, stage.elements, stage.level, stage.seconds) == ("map", 1000, 0, 0.01)
    assert plan.elements == 1000
    assert plan.window == 4
    assert plan.least_seconds == pytest.approx(5.0)
    assert plan.seconds is not None
    assert 5.0 <= plan.seconds < 5.5
    assert stage.batches * stage.sizes[1] >= 1000
    assert stage.sizes[1] * 0.01 <= COSTS.target_seconds * 1.01
    assert not plan.unknown
    assert "add_one-0 × 1,000" in str(plan)


def test_maps_that_are_fused() -> None:
    def fused() -> Any:
        return add_one.map(add_one.map(add_one.map(range(100))))

    plan = planned(fused, add_one=0.001)
    (stage,) = plan.stages
    assert stage.names == ("add_one-0", "add_one-1", "add_one-2")
    assert stage.seconds == pytest.approx(0.003)
    assert any("fused" in reason for reason in stage.why)
    assert plan.elements == 300


def waits() -> Any:
    first = total.submit(1)
    return add_one.map(add_one.map(range(50)), wait_for=[first])


def survives() -> Any:
    return add_one.map(allow_failure(add_one.map(range(50))))


def takes_more() -> Any:
    return total.map(add_one.map(range(50)), unmapped(total.submit(1)))


def is_limited() -> Any:
    return limited.map(add_one.map(range(50)))


def is_shared() -> Any:
    numbers = add_one.map(range(4))
    return add_one.map(numbers), total.submit(numbers)


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        (waits, "add_one-1", "waits for other tasks"),
        (survives, "add_one-1", "may have to run"),
        (takes_more, "total-1", "comes from a task"),
        (is_limited, "limited-0", "limited has a time limit"),
        (is_shared, "add_one-1", "others take the same values"),
    ],
)
def test_why_maps_are_not_fused(body: Any, name: str, reason: str) -> None:
    plan = planned(body, add_one=0.001, total=0.001, limited=0.001)
    stage = stage_of(plan, name)
    assert len(stage.names) == 1
    assert any(each.startswith("not fused") and reason in each for each in stage.why), stage.why
    assert plan.seconds is not None


def test_a_chain_of_calls_is_one_line() -> None:
    def chain() -> Any:
        number = add_one.submit(0)
        for _ in range(999):
            number = add_one.submit(number)
        return number

    plan = planned(chain, add_one=0.0001)
    (stage,) = plan.stages
    assert (stage.nodes, stage.elements, stage.priority) == (1000, 1000, 999)
    assert plan.steps == 1000
    assert plan.critical_path[0] == "add_one-0"
    assert plan.critical_path[-1] == "add_one-999"
    assert plan.seconds is not None
    assert 0.1 <= plan.seconds < 0.12
    assert stage.batches < 10


def test_a_tree_is_shared_out_and_closes() -> None:
    def tree() -> Any:
        row: list[Any] = [add_one.submit(number) for number in range(64)]
        while len(row) > 1:
            row = [total.submit(*row[at : at + 2]) for at in range(0, len(row), 2)]
        return row[0]

    plan = planned(tree, add_one=0.01, total=0.01)
    assert plan.least_seconds == pytest.approx(127 * 0.01 / 2)
    assert plan.seconds is not None
    assert 0.635 <= plan.seconds < 0.9
    assert stage_of(plan, "add_one").level == 0
    assert stage_of(plan, "total").level == 1


def test_more_slots_take_less_time() -> None:
    seconds = [
        planned(lambda: add_one.map(range(800)), slots=slots, add_one=0.01).seconds or 0.0
        for slots in (1, 2, 4, 8)
    ]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] > 6 * seconds[3] > 0


def test_what_was_never_measured() -> None:
    plan = planned(lambda: (add_one.map(range(10)), total.submit(1)), add_one=0.01)
    assert plan.seconds is None
    assert plan.least_seconds is None
    assert any("never measured" in each and "total" in each for each in plan.unknown)
    assert "unknown" in str(plan)
    assert stage_of(plan, "total-0").seconds is None


def test_a_length_that_only_a_run_knows() -> None:
    def dynamic() -> Any:
        return total.submit(add_one.map(listed.submit(3)))

    plan = planned(dynamic, add_one=0.01, listed=0.01, total=0.01)
    assert plan.seconds is None
    assert any("add_one-0" in each for each in plan.unknown)
    assert stage_of(plan, "listed-0").batches == 1
    unknown = stage_of(plan, "add_one-0")
    assert (unknown.elements, unknown.batches) == (None, 0)
    assert stage_of(plan, "total-0").batches == 0
    assert "add_one-0 × ?" in str(plan)


def test_async_calls_and_calls_in_place() -> None:
    def mixed() -> Any:
        return total(fetch.map(range(20)), add_one(1))

    plan = planned(mixed, add_one=0.5, total=0.5)
    assert stage_of(plan, "add_one-0").kind == "call"
    assert any("fetch" in each for each in plan.unknown)
    assert "in place" in str(plan)
    alone = planned(lambda: add_one(add_one(1)), add_one=0.5)
    assert alone.seconds == pytest.approx(1.0)


def test_nothing_and_empty_maps() -> None:
    assert planned(lambda: None).seconds == 0
    plan = planned(lambda: add_one.map([]), add_one=0.01)
    assert plan.stages[0].batches == 0
    assert plan.seconds == 0


def test_a_large_graph_is_still_short_to_read() -> None:
    def wide() -> Any:
        each = [add_one.with_options(name=f"task_{number}") for number in range(200)]
        return [one.map(range(10)) for one in each]

    text = str(planned(wide))
    assert len(text.splitlines()) < 110
    assert "and 160 more" in text


def test_a_notebook_shows_what_is_printed() -> None:
    plan = planned(lambda: add_one.map(range(1000)), add_one=0.01)
    assert pretty(plan) == str(plan)
    assert "for an early result" in str(plan)


def test_a_cap_is_among_the_reasons() -> None:
    alone = add_one.with_options(batch_size=1)
    plan = planned(lambda: add_one.map(alone.map(range(9))), add_one=0.01)
    first, second = plan.stages
    assert (first.batches, first.sizes, first.why) == (9, (1, 1), ("batch_size=1",))
    assert second.why[0] == "not fused: add_one has a batch_size"


def test_what_a_task_of_the_same_name_took_in_another_flow_does_not_count() -> None:
    @task(name="load")
    def load_quickly() -> int:
        return 1

    @task(name="load")
    def load_slowly() -> int:
        time.sleep(0.1)
        return 1

    quick = flow(lambda: load_quickly.submit(), name="quick", task_runner="inline")
    slow = flow(lambda: load_slowly.submit(), name="slow", task_runner="inline")
    quick()
    known_by_name = slow.plan().seconds
    slow()
    quick()
    planned_seconds = slow.plan().seconds
    assert known_by_name is not None
    assert planned_seconds is not None
    assert planned_seconds >= 0.1


def test_a_run_tells_the_next_plan_how_long_its_tasks_take() -> None:
    @task
    def nap(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    with ProcessPoolTaskRunner(max_workers=2) as runner:

        @flow(task_runner=runner)
        def naps() -> float:
            return sum(nap.map([0.02] * 40).result())

        @flow(task_runner=runner)
        def only_submitted() -> Any:
            return [nap.submit(0.02) for _ in range(4)], add_one.map(range(5))

        with pytest.raises(Exception, match="value"):
            naps.plan()  # its body needs the values
        before = only_submitted.plan()
        assert before.seconds is None
        only_submitted()
        after = only_submitted.plan()
        assert after.runner == "processes"
        assert after.slots == 2
        took = stage_of(after, "nap").seconds
        assert took is not None
        assert took >= 0.02  # longer on a machine that is busy
        assert after.seconds is not None
        assert after.least_seconds is not None
        assert 0.04 <= after.least_seconds <= after.seconds


def test_a_run_tells_the_next_plan_how_long_its_calls_in_place_take() -> None:
    @flow(task_runner="inline")
    def calls() -> int:
        value: int = add_one(add_one(1))
        return value

    before = calls.plan()
    assert before.seconds is None
    assert calls() == 3
    after = calls.plan()
    assert after.seconds is not None
    assert not after.unknown
