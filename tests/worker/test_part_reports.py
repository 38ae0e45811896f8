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
