"""What is learnt from the reports of batches: how long calls take, how large values are."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Any

import pytest

from dataflow import task
from dataflow.execution.loop.learning import learn
from dataflow.futures import FutureList, TaskFuture
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode
from tests.execution.simulated_runner import SimulatedRun

LARGE = 500_000


@task
def make(number: int) -> bytes:
    return bytes(number)


@task
def longer(data: bytes) -> bytes:
    return data + b"x" * LARGE


@task
def measure(data: bytes) -> int:
    return len(data)


def submit(run: SimulatedRun, called: Any, *args: Any) -> Any:
    return TaskFuture(trace_submit(run.graph, called, args, {}, None))


def carry_out_all(run: SimulatedRun) -> None:
    while run.under_way:
        run.carry_out(0)


@task
async def made_in_time(number: int) -> bytes:
    return bytes(number)


def test_nothing_is_known_before() -> None:
    book = SimulatedRun().queue.book
    assert book.seconds("make") is None
    assert book.total_bytes(["make"]) is None
    assert book.total_bytes([]) == 0


def test_a_batch_of_one_task() -> None:
    run = SimulatedRun()
    futures = [submit(run, make, LARGE) for _ in range(4)]
    run.trace()
    carry_out_all(run)
    book = run.queue.book
    assert book.seconds("make") is not None
    assert book.total_bytes(["make", "make"]) == pytest.approx(2 * LARGE, rel=0.01)
    assert all(future.result() for future in futures)


def test_values_that_never_left_their_worker() -> None:
    run = SimulatedRun()
    data = submit(run, make, LARGE)
    for _ in range(3):
        data = submit(run, longer, data)
    length = submit(run, measure, data)
    del data
    run.trace()
    assert [len(flight.calls) for flight in run.under_way] == [5]
    carry_out_all(run)
    assert length.result() == 4 * LARGE
    book = run.queue.book
    assert book.total_bytes(["make"]) == LARGE
    assert book.total_bytes(["longer"]) == 3 * LARGE
    assert book.bytes("measure") < 100


def test_a_batch_whose_values_are_of_very_different_size() -> None:
    run = SimulatedRun()
    data = submit(run, make, 10)
    more = submit(run, longer, data)
    length = submit(run, measure, more)
    run.trace()
    carry_out_all(run)
    book = run.queue.book
    assert (len(data.result()), len(more.result()), length.result()) == (10, LARGE + 10, LARGE + 10)
    assert book.bytes("make") < 1000
    assert book.total_bytes(["longer"]) == pytest.approx(LARGE, rel=0.01)
    assert book.bytes("measure") < 1000


def test_of_small_values_that_never_left_nothing_is_known() -> None:
    run = SimulatedRun()
    data = submit(run, make, 10)
    length = submit(run, measure, data)
    del data
    run.trace()
    carry_out_all(run)
    assert length.result() == 10
    assert run.queue.book.total_bytes(["make"]) is None
    assert run.queue.book.total_bytes(["measure"]) is not None


def test_the_maps_of_a_fused_batch() -> None:
    run = SimulatedRun()
    first: FutureList[Any] = FutureList(node=trace_map(run.graph, make, (range(4),), {}, None))
    second: FutureList[Any] = FutureList(node=trace_map(run.graph, longer, (first,), {}, None))
    lengths: FutureList[Any] = FutureList(node=trace_map(run.graph, measure, (second,), {}, None))
    run.trace()
    carry_out_all(run)
    assert lengths.result() == [LARGE + number for number in range(4)]
    book = run.queue.book
    assert book.bytes("measure") < 1000
    assert book.total_bytes(["longer"]) == pytest.approx(LARGE, rel=0.01)
    assert book.bytes("make") < 1000


@pytest.mark.parametrize("parts", [(), (1, 3)])
def test_concurrent_calls_say_how_large_their_values_are(parts: tuple[int, ...]) -> None:
    run = SimulatedRun()
    made: FutureList[Any] = FutureList(
        node=trace_map(run.graph, made_in_time, ([LARGE] * 6,), {}, None)
    )
    run.trace()
    run.carry_out(0, parts=parts)
    carry_out_all(run)
    assert [len(each) for each in made.result()] == [LARGE] * 6
    book = run.queue.book
    assert book.total_bytes(["made_in_time"]) == pytest.approx(LARGE, rel=0.01)
    assert book.seconds("made_in_time") is None


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("elements", [1, 7, 20_000])
def test_stages_share_the_time_of_their_elements(elements: int, first: int) -> None:
    run = SimulatedRun()
    values: Any = range(100)
    for stage in (make, longer, measure):
        values = FutureList(node=trace_map(run.graph, stage, (values,), {}, None))
    run.trace()
    took = [1000, 3000, 6000]
    ended = list(accumulate(took[at % 3] for at in range(first, 3 * elements)))
    report = BatchReport(
        batch_id=1,
        first=first,
        states=bytes((StateCode.COMPLETED,)) * len(ended),
        clock_offset_ns=0,
        first_started_ns=5,
        started=None,
        ended=array("q", (5 + time for time in ended)).tobytes(),
        values=None,
        worker="",
    )
    learn(run.queue.book, run.under_way[0], report)
    told = run.graph.times.tasks
    counts = [len(range(first, 3 * elements)[(at - first) % 3 :: 3]) for at in range(3)]
    names = ("make", "longer", "measure")
    assert [told[name][0] for name in names] == counts
    for name, calls, each in zip(names, counts, took, strict=True):
        assert told[name][1] == pytest.approx(calls * each, rel=0.001)
