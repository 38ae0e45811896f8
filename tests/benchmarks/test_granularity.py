"""The search for METG, on runtimes whose efficiency is known."""

from __future__ import annotations

import pytest

from benchmarks.granularity import descend


def _efficiency(overhead):
    """That of a runtime which takes so long for each task, whatever its length."""
    return lambda length: length / (length + overhead)


@pytest.mark.parametrize("overhead", [2e-6, 9e-4, 0.02])
def test_the_length_that_equals_the_overhead_is_found(overhead):
    assert descend(_efficiency(overhead), 0.001) == pytest.approx(overhead, rel=0.02)


def test_a_runtime_that_is_never_efficient_is_told():
    with pytest.raises(RuntimeError, match="tasks of 40 ms"):
        descend(lambda length: 0.3, 0.001)


def test_lengths_go_down_until_the_first_that_is_too_short():
    tried = []

    def efficiency(length):
        tried.append(length)
        return 0.9 if length > 0.5 else 0.1

    assert descend(efficiency, 1.0) == pytest.approx(0.544, abs=0.001)
    assert tried == pytest.approx([1, 1 / 1.5, 1 / 1.5**2])
