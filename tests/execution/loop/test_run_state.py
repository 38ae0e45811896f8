"""The heart without a body: random graphs, random fates, and a reference that predicts the end."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import allow_failure, task, unmapped
from dataflow.execution import results
from dataflow.futures import FutureList, TaskFuture
from dataflow.graph.nodes import MapNode
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.states import StateCode
from tests.execution.simulated_runner import SimulatedRun

DONE, BAD, SKIPPED = int(StateCode.COMPLETED), int(StateCode.FAILED), int(StateCode.NOT_READY)


@task
def combine(value: Any, other: Any = 0) -> Any:
    """Fails for multiples of 7; else a number made of both."""
    value = -1 if isinstance(value, BaseException) else value
    other = -1 if isinstance(other, BaseException) else other
    other = (
        sum(-1 if isinstance(o, BaseException) else o for o in other)
        if isinstance(other, list)
        else other
    )
    result = (3 * value + other + 1) % 1000
    if result % 7 == 0:
        raise ValueError(result)
    return result


retried = combine.with_options(name="retried", retries=1)
delayed = combine.with_options(name="delayed", retries=1, retry_delay_seconds=5)
apart = combine.with_options(name="apart", resources={"GPU": 1})
alone = combine.with_options(name="alone", batch_size=1)


@task(name="concurrent")
async def concurrently(value: Any, other: Any = 0) -> Any:
    """The same as an ``async`` task."""
    return combine.fn(value, other)


again = concurrently.with_options(name="again", retries=1, retry_delay_seconds=5)
TASKS = [combine, retried, delayed, apart, alone, concurrently, again]


class Model:
    """What should become of each node: its outcomes, element by element."""

    def __init__(self) -> None:
        self.run = SimulatedRun()
        self.handles: list[Any] = []
        self.outcomes: list[list[tuple[int, Any]]] = []

    def submit(self, which: Any, first: int, second: int, allow: bool, whole: bool) -> None:
        """``which.submit(a, b)`` of two earlier handles (or numbers), some waiting for a third."""
        a, a_outcome = self._value(first, allow)
        b, b_outcome = self._list(second, allow) if whole else self._value(second, allow)
        waits, is_met = self._waits(first + second) if second % 3 == 1 else (None, True)
        node = trace_submit(self.run.graph, which, (a, b), {}, waits)
        self.handles.append(TaskFuture(node))
        outcome = _outcome(a_outcome, b_outcome, allow)
        self.outcomes.append([outcome if is_met else (SKIPPED, None)])

    def _waits(self, number: int) -> tuple[Any, bool]:
        """Something to wait for, and whether it ends well."""
        if not self.handles:
            return None, True
        at = number % len(self.handles)
        return [self.handles[at]], all(code == DONE for code, _ in self.outcomes[at])

    def map(self, which: Any, first: int, second: int, allow: bool) -> None:
        """``which.map(xs, unmapped(b))`` over an earlier map (or a range)."""
        lists = [at for at, handle in enumerate(self.handles) if isinstance(handle, FutureList)]
        b, b_outcome = self._value(second, allow)
        if lists and first % 3:
            at = lists[first % len(lists)]
            xs: Any = self.handles[at]
            xs_outcomes = self.outcomes[at]
            xs = allow_failure(xs) if allow else xs
        else:
            xs = range(first % 9)
            xs_outcomes = [(DONE, x) for x in xs]
        node = trace_map(self.run.graph, which, (xs, unmapped(b)), {}, None)
        self.handles.append(FutureList(node=node))
        self.outcomes.append([_outcome(x, b_outcome, allow) for x in xs_outcomes])

    def _value(self, number: int, allow: bool) -> tuple[Any, tuple[int, Any]]:
        if not self.handles or number % 4 == 0:
            return number, (DONE, number)
        at = number % len(self.handles)
        handle, outcomes = self.handles[at], self.outcomes[at]
        if isinstance(handle, FutureList):
            if not outcomes:
                return 5, (DONE, 5)
            element = number % len(outcomes)
            handle, outcome = handle[element], outcomes[element]
        else:
            outcome = outcomes[0]
        return (allow_failure(handle) if allow else handle), outcome

    def _list(self, number: int, allow: bool) -> tuple[Any, tuple[int, Any]]:
        lists = [at for at, handle in enumerate(self.handles) if isinstance(handle, FutureList)]
        if not lists:
            return 1, (DONE, 1)
        at = lists[number % len(lists)]
        handle, outcomes = self.handles[at], self.outcomes[at]
        values = [value if code == DONE else -1 for code, value in outcomes]
        good = allow or all(code == DONE for code, _ in outcomes)
        total = sum(values)
        return (allow_failure(handle) if allow else handle), (DONE if good else BAD, total)

    def check(self) -> None:
        """Every task run ended once, as predicted, and the records say the same."""
        announced = self.run.announced_states()
        recorded = self.run.recorded_states()
        for handle, outcomes in zip(self.handles, self.outcomes, strict=True):
            futures = list(handle) if isinstance(handle, FutureList) else [handle]
            assert len(futures) == len(outcomes)
            for future, (code, value) in zip(futures, outcomes, strict=True):
                place = (future._node.id, future._element or 0)
                assert announced[place] == code, (place, announced[place], code)
                final = [state for state in recorded[place] if StateCode(state).is_ended]
                assert final[-1] == code
                assert len(final) == 1
                if code == DONE:
                    assert results.value_of(future._node, future._element) == value


def _outcome(a: tuple[int, Any], b: tuple[int, Any], allow: bool) -> tuple[int, Any]:
    if not allow and (a[0] != DONE or b[0] != DONE):
        return SKIPPED, None
    first = a[1] if a[0] == DONE else -1
    second = b[1] if b[0] == DONE else -1
    result = (3 * first + second + 1) % 1000
    return (DONE, result) if result % 7 else (BAD, None)


STEP = st.tuples(
    st.sampled_from(["submit", "submit", "map"]),
    st.sampled_from(range(len(TASKS))),
    st.integers(0, 40),
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEP, max_size=25),
    fates=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=60),
    parts=st.sets(st.integers(0, 40)),
)
def test_every_task_run_ends_once_as_predicted(steps: Any, fates: Any, parts: Any) -> None:
    model = Model()
    run = model.run
    fate = iter(fates)
    lost = 0
    for kind, which, first, second, allow, whole, flush in steps:
        if kind == "submit":
            model.submit(TASKS[which], first, second, allow, whole)
        else:
            model.map(TASKS[which], first, second, allow)
        if not flush:
            continue
        run.trace()
        for what, number in (next(fate, (0, 0)), next(fate, (0, 0))):
            if not run.under_way:
                run.finish_retries()
            elif what < 5:
                run.carry_out(number, number % 4 + 1 if what % 2 else None, parts)
            elif what < 7 and lost < 2:
                lost += 1  # fewer losses than make anything Crashed
                run.lose(number, None if what == 5 else number, parts)
            elif what == 7:
                run.finish_retries()
    run.trace()
    numbers = iter([number for _, number in fates])
    run.run_to_end(lambda: next(numbers, 0))
    model.check()


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 20), culprit=st.integers(0, 19), known=st.booleans())
def test_a_call_that_kills_its_worker_crashes_alone(length: int, culprit: int, known: bool) -> None:
    run = SimulatedRun()
    nodes = [trace_submit(run.graph, combine, (number,), {}, None) for number in range(length)]
    after = [trace_submit(run.graph, combine, (TaskFuture(node),), {}, None) for node in nodes]
    killer = nodes[culprit % length]
    run.trace()
    losses = 0
    while run.under_way and losses < 10:
        calls = run.under_way[0].calls
        if killer in calls:
            run.lose(0, calls.index(killer) if known else None)
            losses += 1
        else:
            run.carry_out(0)
    run.trace()
    assert losses <= 4  # one where nobody knew which call it was
    assert killer.code == StateCode.CRASHED
    assert after[culprit % length].code == StateCode.NOT_READY
    others = [node for node in nodes if node is not killer]
    assert all(node.code in (StateCode.COMPLETED, StateCode.FAILED) for node in others)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 60), culprit=st.integers(0, 59), known=st.booleans())
def test_an_element_that_kills_its_worker_crashes_alone(
    length: int, culprit: int, known: bool
) -> None:
    run = SimulatedRun()
    culprit %= length
    node = trace_map(run.graph, apart, (range(1, length + 1),), {}, None)
    run.trace()
    for _ in range(1000):
        if not run.under_way:
            break
        flight = run.under_way[0]
        if culprit in flight.elements:
            run.lose(0, list(flight.elements).index(culprit) if known else None)
        else:
            run.carry_out(0)
    codes = list(node.codes)
    assert codes[culprit] == StateCode.CRASHED
    assert all(code in (DONE, BAD) for at, code in enumerate(codes) if at != culprit)


@pytest.mark.parametrize("kind", ["call", "element"])
def test_the_last_try_of_a_suspect_is_alone(kind: str) -> None:
    """One that had not begun stays a suspect, and has no loss more for that."""
    run = SimulatedRun()
    if kind == "call":
        trace_submit(run.graph, combine, (1,), {}, None)
    else:
        trace_map(run.graph, apart, (range(1, 2),), {}, None)
    run.trace()
    seen = []
    for position in (None, -1, -1, -1, None, -1, None):
        (flight,) = run.under_way
        seen.append((flight.batch.suspect, flight.batch.alone))
        run.lose(0, position)
    assert not run.under_way
    assert seen == [(False, False), *[(True, False)] * 4, (True, True), (True, True)]


@pytest.mark.parametrize("kind", ["calls", "elements"])
def test_those_of_which_any_may_be_to_blame_are_suspects_until_they_have_ended(kind: str) -> None:
    run = SimulatedRun()
    if kind == "calls":
        for number in range(1, 5):
            trace_submit(run.graph, combine, (number,), {}, None)
    else:
        trace_map(run.graph, apart, (range(1, 5),), {}, None)
    run.trace()
    while len(run.under_way[0].elements or run.under_way[0].calls) < 2:
        run.carry_out(0)
    run.lose(0, None)
    for _ in range(10):  # all that waited on a worker while another killed it
        suspects = [flight for flight in run.under_way if flight.batch.suspect]
        assert suspects
        run.lose(run.under_way.index(suspects[0]), -1)
    run.run_to_end(lambda: 0)
    assert set(run.announced_states().values()) <= {DONE, BAD}


def test_a_cancelled_graph_ends_everything() -> None:
    run = SimulatedRun()
    first = trace_submit(run.graph, combine, (1,), {}, None)
    many = trace_map(run.graph, apart, (range(100),), {}, None)
    last = trace_submit(run.graph, combine, (TaskFuture(first),), {}, None)
    run.trace()
    batches = run.state.cancel(run.graph.nodes, run.queue)
    run.turn()
    assert batches
    assert first.announced == last.announced == StateCode.CANCELLED
    assert set(many.codes) == {StateCode.CANCELLED}
    assert not run.queue.flights


@pytest.mark.parametrize("first", [1, 2])
def test_a_chain_of_20_000_links_needs_no_recursion(first: int) -> None:
    run = SimulatedRun()
    increment = task(_increment)
    node = trace_submit(run.graph, increment, (0 if first == 1 else "x",), {}, None)
    for _ in range(20_000 - 1):
        node = trace_submit(run.graph, increment, (TaskFuture(node),), {}, None)
    run.trace()
    run.run_to_end()
    assert node.announced == (DONE if first == 1 else SKIPPED)


def _increment(value: int) -> int:
    return value + 1


def test_fused_maps_keep_their_own_states() -> None:
    run = SimulatedRun()
    nodes: list[MapNode] = []
    values: Any = range(200)
    for _ in range(3):
        nodes.append(trace_map(run.graph, combine, (values,), {}, None))
        values = FutureList(node=nodes[-1])
    run.trace()
    assert len(run.under_way[0].batch.body.stages) == 3  # type: ignore[union-attr]
    run.run_to_end()
    for node in nodes:
        assert node.announced_count == 200


def _three_fused_maps(run: SimulatedRun) -> list[MapNode]:
    nodes: list[MapNode] = []
    values: Any = range(1, 61)
    for _ in range(3):
        nodes.append(trace_map(run.graph, alone_or_not, (values,), {}, None))
        values = FutureList(node=nodes[-1])
    run.trace()
    assert len(run.under_way[0].batch.body.stages) == 3  # type: ignore[union-attr]
    return nodes


alone_or_not = combine.with_options(name="fused")


@pytest.mark.parametrize("part", range(1, 8))
def test_a_part_tells_of_the_stages_that_an_element_has_behind_it(part: int) -> None:
    run = SimulatedRun()
    nodes = _three_fused_maps(run)
    run.lose(0, 7, parts=[part])
    told = [sum(code != 0 for code in node.codes) for node in nodes]
    assert told == [len(range(number, part, 3)) for number in range(3)]
    run.run_to_end()
    assert all(len(codes) == 1 for codes in run.recorded_states().values())
    assert [results.value_of(nodes[2], at) for at in (0, 1, 2, 59) if nodes[2].codes[at] == DONE]
    for node in nodes:
        assert node.announced_count == 60


def test_a_part_tells_of_concurrent_calls_that_have_ended_between_others() -> None:
    run = SimulatedRun()
    node = trace_map(run.graph, concurrently, (range(1, 31),), {}, None)
    follower = trace_map(run.graph, combine, (FutureList(node=node),), {}, None)
    run.trace()
    flight = run.under_way[0]
    assert flight.is_concurrent and flight.batch.body.calls == 30
    run.lose(0, None, parts=[4, 12])
    assert sum(code != 0 for code in node.codes) == 13
    assert run.queue.calls_under_way == 17
    run.run_to_end()
    assert run.queue.calls_under_way == run.queue.busy == 0
    assert all(len(codes) == 1 for codes in run.recorded_states().values())
    plain = [_outcome((DONE, value), (DONE, 0), allow=False) for value in range(1, 31)]
    assert list(node.codes) == [code for code, _ in plain]
    for element, (code, value) in enumerate(plain):
        if code == DONE:
            assert results.value_of(node, element) == value
    assert follower.announced_count == 30


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_a_batch_tells_early_what_calls_elsewhere_wait_for(is_waited_for: bool) -> None:
    run = SimulatedRun()
    nodes = [trace_submit(run.graph, combine, (1,), {}, None)]
    for _ in range(5):
        nodes.append(trace_submit(run.graph, combine, (TaskFuture(nodes[-1]),), {}, None))
    if is_waited_for:
        trace_submit(run.graph, apart, (TaskFuture(nodes[2]),), {}, None)
    run.trace()
    (flight,) = run.under_way
    assert flight.calls == nodes
    dispatch = run.runner.costs.dispatch_seconds
    assert flight.batch.early_seconds == (10 * dispatch if is_waited_for else math.inf)
