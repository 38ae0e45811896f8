"""What a long batch tells before it is done."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from dataflow import task
from dataflow.model.batches import Batch, BatchReport, CallBody, RunInfo
from dataflow.worker import outcomes
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import pack
from dataflow.worker.part_reports import PartReporter
from tests.runners.programs import wait_until

LARGE = 2_000_000


class _Asked:
    """Stands for a batch."""

    def __init__(self) -> None:
        self.was_asked = threading.Event()

    def report_part(self, *_: Any) -> None:
        self.was_asked.set()


def test_a_batch_that_has_ended_is_not_held() -> None:
    reporter = PartReporter()
    asked: Any = _Asked()
    held = weakref.ref(asked)
    reporter.ask(asked, lambda report: None, seconds=0.001)
    assert asked.was_asked.wait(60)
    reporter.forget(asked)
    del asked
    wait_until(lambda: held() is None, "it is held by the thread that waits for others")


@task
def first() -> Any:
    return np.zeros(LARGE, dtype=np.uint8)


@task
def second(values: Any) -> Any:
    return values


@pytest.mark.parametrize("is_passed_on", [True, False])
def test_a_large_value_on_its_way_to_the_next_call_is_not_packed(is_passed_on: bool) -> None:
    parts: list[BatchReport] = []

    @task
    def third(values: Any) -> int:
        carrier.report_part(parts.append)
        return len(values)

    body = CallBody(
        [0, 1, 2],
        [0, 1, 2],
        [0, 0, 0],
        [((), {}), ((None,), {}), ((None,), {})],
        [None, ((0, 0),), ((0, 1),)],
        last_uses={0: 1, 1: 2} if is_passed_on else {0: 1},
    )
    carrier = BatchCarrier(Batch(1, RunInfo("", "", ""), [first, second, third], body), pack)
    final = carrier.carry_out()
    (part,) = parts
    assert (part.first, part.stop) == ((0, 1) if is_passed_on else (0, 2))
    assert (0 if part.values is None else part.values.nbytes) < LARGE or not is_passed_on
    assert (final.first, final.stop) == (part.stop, 3)
    assert final.values is not None
    assert final.values.load_all()[-1] == LARGE


@task
def next_of(number: int) -> int:
    return number + 1


def chain_of(length: int, early_seconds: float) -> BatchCarrier:
    body = CallBody(
        [0] * length,
        list(range(length)),
        [0] * length,
        [((0,), {}), *[((None,), {})] * (length - 1)],
        [None, *(((0, at),) for at in range(length - 1))],
    )
    batch = Batch(1, RunInfo("", "", ""), [next_of], body, early_seconds=early_seconds)
    return BatchCarrier(batch, pack)


def test_what_others_wait_for_is_told_between_calls() -> None:
    parts: list[BatchReport] = []
    carrier = chain_of(4, early_seconds=0.0)
    carrier.report_early(parts.append)
    final = carrier.carry_out()
    told = [(part.first, part.stop) for part in [*parts, final]]
    assert told == [(0, 1), (1, 2), (2, 3), (3, 4)]
    values = [part.values.load_all() for part in parts if part.values is not None]
    assert values == [[1], [2], [3]]
    assert not any(part.final for part in parts) and final.final


def test_nothing_is_told_between_calls_before_its_time() -> None:
    parts: list[BatchReport] = []
    carrier = chain_of(4, early_seconds=60.0)
    carrier.report_early(parts.append)
    final = carrier.carry_out()
    assert (parts, final.first, final.stop) == ([], 0, 4)


def test_what_nobody_waits_for_is_not_told_between_calls() -> None:
    carrier = chain_of(4, early_seconds=math.inf)
    carrier.report_early(lambda report: pytest.fail(f"told {report}"))
    assert carrier.carry_out().stop == 4


def a_pair_and_another(make: Any, budget_seconds: float) -> BatchCarrier:
    """A call, one that takes its value, which nobody else needs, and one that needs nothing."""
    body = CallBody(
        [0, 1, 2],
        [0, 1, 2],
        [0, 0, 0],
        [((), {}), ((None,), {}), ((1,), {})],
        [None, ((0, 0),), None],
        last_uses={0: 1},
    )
    tasks = [make, length_of, next_of]
    batch = Batch(1, RunInfo("", "", ""), tasks, body, budget_seconds=budget_seconds)
    return BatchCarrier(batch, pack)


@task
def length_of(values: Any) -> int:
    return len(values)


def test_a_batch_that_is_cut_keeps_what_takes_the_value_of_the_call_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has to wait for it anyway, and the value may be large."""
    monkeypatch.setattr(outcomes, "_STUCK_NS", 0)
    found: list[int | None] = []

    @task
    def make() -> Any:
        found.append(carrier.cut())
        return np.zeros(LARGE, dtype=np.uint8)

    carrier = a_pair_and_another(make, budget_seconds=0.0)
    report = carrier.carry_out()
    assert found == [2]
    assert (report.first, report.stop) == (0, 2)
    assert report.values is not None and report.values.load_all() == [LARGE]


@pytest.mark.parametrize("stay_ns", [0.0, math.inf])
def test_how_long_a_batch_stays_with_a_large_value_can_be_said(stay_ns: float) -> None:
    carrier = a_pair_and_another(first, budget_seconds=0.0)
    carrier.stay_ns = stay_ns
    assert carrier.carry_out().stop == (2 if stay_ns else 1)


def test_the_size_of_the_last_value_that_was_let_go_of_is_told() -> None:
    carrier = a_pair_and_another(first, budget_seconds=0.0)
    report = carrier.carry_out()  # it ends with the user of that value
    assert (report.stop, report.dropped, report.large) == (2, (0,), {0: LARGE})
