"""A large cluster on paper: every element is recorded, and nothing is quicker than it can be."""

from __future__ import annotations

import pytest

from benchmarks.simulation.run import KINDS, simulate


@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_run_records_every_element(kind: str) -> None:
    found = simulate(threads=40, n=3000, mean_seconds=0.05, kind=kind)
    assert found.recorded == 3000
    assert found.makespan < 3 * found.ideal
    assert found.makespan >= 3000 * 0.05 / 40  # uneven elements in another order may beat the ideal
    assert found.batches >= 40
    assert found.messages > 2 * found.batches
    assert "of the ideal" in str(found)


def test_more_threads_are_not_slower() -> None:
    few, many = (simulate(threads, 2000, 0.1, "constant") for threads in (10, 100))
    assert many.makespan < few.makespan
    assert few.ideal == pytest.approx(20.0)
