"""A large cluster on paper: every element is recorded, and nothing is quicker than it can be."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.simulation.batches import MOST_IN_A_PART, report_of, told_of
from benchmarks.simulation.run import KINDS, simulate
from dataflow import records
from dataflow.model.batches import Batch, MapBody, RunInfo


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_run_records_every_element(kind: str) -> None:
    found = simulate(threads=40, n=3000, mean_seconds=0.05, kind=kind)
    assert found.recorded == 3000
    (run,) = records.runs()
    assert run.state.is_completed()
    assert found.makespan < 3 * found.ideal
    assert found.makespan >= 3000 * 0.05 / 40  # uneven elements in another order may beat the ideal
    assert found.batches >= 40
    assert found.messages > 2 * found.batches
    assert 0 < found.client_seconds < found.makespan
    assert found.client_bytes > 10_000_000
    assert "of the ideal" in str(found)


@pytest.mark.usefixtures("home")
def test_more_threads_are_not_slower() -> None:
    few, many = (simulate(threads, 2000, 0.1, "constant") for threads in (10, 100))
    assert many.makespan < few.makespan
    assert few.ideal == pytest.approx(20.0)


def _batch(indices: Sequence[int], budget_seconds: float, part_seconds: float = 0.0) -> Batch:
    return Batch(
        id=7,
        run=RunInfo("r" * 32, "run", "simulated"),
        tasks=[],
        body=MapBody(indices, ()),
        inputs=[],
        budget_seconds=budget_seconds,
        part_seconds=part_seconds,
    )


def test_a_batch_stops_behind_the_element_with_which_its_time_is_up() -> None:
    (told,) = told_of(_batch(range(2, 9), 0.25), np.full(10, 0.1))
    assert (told.first, told.stop, told.final) == (0, 3, True)
    assert told.seconds == pytest.approx(0.3)


def test_a_batch_that_takes_long_reports_in_parts_and_says_where_it_stops() -> None:
    durations = np.array([0.4, 0.4, 5.0, 0.4, 0.4])
    parts = told_of(_batch([0, 1, 2, 4], budget_seconds=1.0), durations)
    assert [(part.first, part.stop, part.reaches) for part in parts] == [
        (0, 1, None),  # after 0.5 s
        (1, 2, 3),  # after 1.0 s: its time is up, and the third takes long
        (2, 3, None),
    ]
    assert [part.final for part in parts] == [False, False, True]


def test_parts_wait_as_long_as_they_are_told_to_and_are_never_large() -> None:
    durations = np.full(4000, 0.001)
    (alone,) = told_of(_batch(range(4000), 10.0, part_seconds=5.0), durations)
    assert alone.final
    parts = told_of(_batch(range(4000), 10.0), durations)
    assert all(part.stop - part.first <= MOST_IN_A_PART for part in parts[:-1])
    assert parts[-1].stop == 4000


def test_a_report_has_the_times_and_values_of_its_elements() -> None:
    durations = np.array([9.0, 1.0, 2.0, 3.0])
    batch = _batch(range(1, 4), budget_seconds=100.0, part_seconds=2.0)
    part, last = told_of(batch, durations)[0], told_of(batch, durations)[-1]
    report = pickle.loads(report_of(batch, last, durations, begun=10.0))
    assert (part.stop, report.first, report.final) == (1, last.first, True)
    assert list(array("q", report.ended))[-1] == 16_000_000_000
    assert [report.values.load(at) for at in range(len(report.states))] == [2, 3][
        -len(report.states) :
    ]
