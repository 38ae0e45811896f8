"""Fused stages: whatever an element goes through, it comes to what its calls alone come to."""

from __future__ import annotations

import gc
import weakref
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow import Completed, Failed, runtime, task
from dataflow.model.batches import Batch, BatchReport, Each, MapBody, RunInfo, Slot, Stage
from dataflow.model.states import StateCode
from dataflow.worker.board import BOARD_BYTES, TIMED_CALLS, position_of
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import as_objects, pack
from dataflow.worker.expand import Chain

WIDTH = 3
FATES = ("plain", "list", "fails", "completed", "failed", "once", "exits")
fates = st.lists(st.tuples(*[st.sampled_from(FATES)] * WIDTH), min_size=1, max_size=12)


class Tale:
    """What each stage does to each element, and what was seen of it."""

    def __init__(self, fates: list[tuple[str, ...]], keep: tuple[bool, ...]) -> None:
        self.fates = fates
        self.seen: list[tuple[int, int, int, Any]] = []
        self.asks: dict[int, Callable[[BatchReport], None]] = {}
        stages = [task(self._stage(number), retries=1) for number in range(WIDTH)]
        elements = list(range(len(fates)))
        body = MapBody(
            range(len(fates)),
            tuple(
                Stage(at, at, 0, (Slot(at - 1) if at else Each(elements),), {}, keep[at])
                for at in range(WIDTH)
            ),
        )
        board = memoryview(bytearray(BOARD_BYTES)).cast("q")
        self.carrier = BatchCarrier(
            Batch(1, RunInfo("", "", ""), list(stages), body), pack, board=board
        )

    def _stage(self, number: int) -> Any:
        def stage(value: int | list[int]) -> Any:
            element = value[0] if isinstance(value, list) else value
            attempt = runtime.task_run.run_count
            position = position_of(self.carrier.board)
            if number == 1 and element in self.asks:
                self.carrier.report_part(self.asks[element])
            self.seen.append(
                (position, number, element, (runtime.task_run.parameters or {})["value"])
            )
            fate = self.fates[element][number]
            if fate == "fails" or (fate == "once" and attempt == 1):
                raise ValueError(f"{number} {element}")
            if fate == "exits":
                raise SystemExit(3)
            if fate == "failed":
                return Failed(message="no")
            if fate == "completed":
                return Completed(data=element)
            return [element] if fate == "list" else element

        return stage

    def codes(self) -> list[int]:
        """What each call comes to."""
        ends = {
            "fails": StateCode.FAILED,
            "failed": StateCode.FAILED,
            "exits": StateCode.CRASHED,
        }
        found: list[int] = []
        for each in self.fates:
            lost = False
            for fate in each:
                found.append(StateCode.NOT_READY if lost else ends.get(fate, StateCode.COMPLETED))
                lost = lost or fate in ends
        return found


def values_of(report: BatchReport) -> list[Any]:
    assert report.values is not None
    return list(report.values.load_all())


@given(fates, st.tuples(st.booleans(), st.booleans(), st.just(True)))
def test_every_call_comes_to_what_it_comes_to_alone(
    fates: list[tuple[str, ...]], keep: tuple[bool, ...]
) -> None:
    tale = Tale(fates, keep)
    assert isinstance(tale.carrier.expand(), Chain)
    report = tale.carrier.carry_out()
    codes = tale.codes()
    assert list(report.states) == codes
    assert report.stop == len(fates) * WIDTH
    for position, number, element, value in tale.seen:
        assert position == element * WIDTH + number  # known before the call began
        assert value in (element, [element])
    wanted = []
    for number in range(WIDTH):
        for element, each in enumerate(fates) if keep[number] else ():
            good = codes[element * WIDTH + number] == StateCode.COMPLETED
            value = [element] if each[number] == "list" else element
            wanted.append(value if good else None)
    assert values_of(report) == wanted
    assert report.attempts == {
        element * WIDTH + number: 2
        for element, each in enumerate(fates)
        for number, fate in enumerate(each)
        if fate in ("once", "fails", "failed", "exits")
        and codes[element * WIDTH + number] != StateCode.NOT_READY
    }


def test_a_long_batch_knows_its_calls_and_tells_of_them_in_parts() -> None:
    elements = TIMED_CALLS  # three windows of times, and a bit
    fates = [("plain",) * WIDTH] * elements
    for at, fate in ((0, "list"), (1364, "fails"), (1365, "once"), (2731, "list"), (4000, "exits")):
        fates[at] = ("plain", fate, "plain")
    tale = Tale(fates, (False, True, True))
    parts: list[BatchReport] = []
    tale.asks = dict.fromkeys((1, 1364, 1365, 1366, 3000), parts.append)
    parts.append(tale.carrier.carry_out())
    assert [position for position, *_ in tale.seen] == [
        element * WIDTH + number for _, number, element, _ in tale.seen
    ]
    assert [part.first for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert b"".join(part.states for part in parts) == bytes(tale.codes())
    ended = array("q", b"".join(part.ended for part in parts))
    assert list(ended) == list(tale.carrier.ended) == sorted(ended)
    assert len(ended) == elements * WIDTH


@given(fates)
def test_times_never_go_back(fates: list[tuple[str, ...]]) -> None:
    tale = Tale(fates, (True, True, True))
    tale.carrier.carry_out()
    assert list(tale.carrier.ended) == sorted(tale.carrier.ended)
    assert len(tale.carrier.ended) == len(tale.carrier.values) == len(fates) * WIDTH


def test_a_batch_whose_time_is_up_stops_behind_an_element() -> None:
    tale = Tale([("plain", "list", "plain")] * 5, (False, False, True))
    tale.carrier.deadline = 0
    report = tale.carrier.carry_out()
    assert report.stop == WIDTH
    assert values_of(report) == [0]


@pytest.mark.parametrize("arity", [1, 3])
@pytest.mark.parametrize("width", [2, 64, 65, 120])
def test_however_many_stages_and_arguments_there_are(width: int, arity: int) -> None:
    @task
    def add(*values: int) -> int:
        return sum(values) + 1

    given = tuple(Each([10 * at + element for element in range(9)]) for at in range(arity))
    stages = [Stage(0, 0, 0, given, {}, keep=False)]
    stages += [Stage(0, at, 0, (Slot(at - 1),), {}, keep=at == width - 1) for at in range(1, width)]
    body = MapBody(range(4), tuple(stages))
    carrier = BatchCarrier(Batch(1, RunInfo("", "", ""), [add], body), pack)
    assert isinstance(carrier.expand(), Chain) == (width <= 64)  # columns have more than is made
    report = carrier.carry_out()
    assert report.states == bytes((StateCode.COMPLETED,)) * (4 * width)
    first = [sum(10 * at + element for at in range(arity)) for element in range(4)]
    assert values_of(report) == [value + width for value in first]


class Value:
    """Something that can be asked whether it is still there."""


def test_nothing_is_held_when_it_is_done() -> None:
    made: list[weakref.ref[Value]] = []

    @task
    def make(number: int) -> Value:
        value = Value()
        made.append(weakref.ref(value))
        assert runtime.task_run.parameters == {"number": number}  # found in the loop's variables
        return value

    @task
    def use(value: Value) -> int:
        return isinstance(value, Value)

    first = Stage(0, 0, 0, (Each([1, 2, 3]),), {}, keep=False)
    body = MapBody(range(3), (first, Stage(1, 1, 0, (Slot(0),), {})))
    gc.collect()
    gc.disable()
    try:
        carrier = BatchCarrier(Batch(1, RunInfo("", "", ""), [make, use], body), as_objects)
        assert isinstance(carrier.expand(), Chain)
        assert values_of(carrier.carry_out()) == [1, 1, 1]
        del carrier
        assert [value() for value in made] == [None, None, None]
    finally:
        gc.enable()
