"""The sums of a run's phases: what is measured stands for what is not."""

from __future__ import annotations

from array import array

import pytest

from dataflow.clock import ticks_ns
from dataflow.graph.phase_times import PhaseTimes
from dataflow.model.batches import BatchReport

SECOND = 1_000_000_000


def report(started_ns: int, ended_ns: list[int], **changes) -> BatchReport:
    fields = {
        "batch_id": 1,
        "first": 0,
        "states": bytes(len(ended_ns)),
        "clock_offset_ns": 100 * SECOND,
        "first_started_ns": started_ns,
        "started": None,
        "ended": array("q", ended_ns).tobytes(),
        "values": None,
        "worker": "box:7",
    }
    return BatchReport(**{**fields, **changes})


@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_the_submits_that_are_measured_stand_for_all(rounds):
    times = PhaseTimes()
    measured = [times.stands_for() for _ in range(17 * rounds)]
    assert measured[:17] == [1] * 17
    assert sum(measured) == 17 * rounds
    assert len([number for number in measured if number]) == 17 + rounds - 1


def test_what_a_submit_took_counts_as_often_as_it_stands_for_others():
    times = PhaseTimes()
    begun = ticks_ns() - SECOND
    times.traced(begun, 17)
    assert times.tracing_ns >= 17 * SECOND


def test_a_report_says_what_its_calls_took_and_what_of_it_was_loading():
    times = PhaseTimes()
    times.reported(report(5 * SECOND, [6 * SECOND, 8 * SECOND], loading_ns=SECOND, packing_ns=7))
    assert times.compute_ns == 2 * SECOND
    assert times.transfer_ns == SECOND + 7


def test_concurrent_calls_are_no_compute_and_neither_is_an_empty_report():
    times = PhaseTimes()
    times.reported(report(0, [SECOND], started=array("q", [0]).tobytes()))
    times.reported(report(0, []))
    assert times.compute_ns == 0


@pytest.mark.parametrize(
    ("skew_seconds", "waited_seconds"),
    [(0, 2), (0.5, 2.5), (-1, 1), (-60, 0), (60, 3)],
)
def test_a_wait_is_bounded_where_the_workers_clock_is_wrong(skew_seconds, waited_seconds):
    times = PhaseTimes()
    offset = int((100 + skew_seconds) * SECOND)  # handed over at 103, begun at 105, back at 107
    found = report(5 * SECOND, [6 * SECOND], clock_offset_ns=offset)
    times.waited(103 * SECOND, found, 107 * SECOND)
    assert times.queue_ns == waited_seconds * SECOND


def test_what_the_body_loaded_is_transfer(monkeypatch):
    monkeypatch.setattr("dataflow.graph.phase_times.loading_ns", lambda: 40)
    times = PhaseTimes()
    times.loaded(before_ns=40)
    assert times.transfer_ns == 0
    times.loaded(before_ns=10)
    assert times.transfer_ns == 30
