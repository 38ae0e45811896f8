"""Batch sizes stay within their bounds, whatever has been measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow.planner.batch_sizes import (
    MAX_CONCURRENT_BATCH,
    PROBE_ELEMENTS,
    RunnerCosts,
    batch_size,
    budget_seconds,
    concurrent_batch_size,
    is_short,
)

COSTS = st.builds(
    RunnerCosts, st.floats(1e-5, 0.1, exclude_max=True), st.floats(0.01, 2, exclude_max=True)
)
LEFT = st.integers(1, 10_000_000)
SLOTS = st.integers(1, 10_000)
MEAN = st.none() | st.floats(0, 1000)


@given(LEFT, SLOTS, MEAN, COSTS)
def test_a_batch_takes_at_least_one_and_at_most_all(
    left: int, slots: int, mean: float | None, costs: RunnerCosts
) -> None:
    assert 1 <= batch_size(left, slots, mean, costs) <= left


@given(LEFT, SLOTS, st.floats(1e-6, 1000), COSTS)
def test_a_batch_of_measured_elements_ends_in_time(
    left: int, slots: int, mean: float, costs: RunnerCosts
) -> None:
    size = batch_size(left, slots, mean, costs)
    assert size == 1 or size * mean <= costs.target_seconds * 1.01


@given(LEFT, SLOTS, COSTS)
def test_the_first_batch_is_a_probe(left: int, slots: int, costs: RunnerCosts) -> None:
    assert batch_size(left, slots, None, costs) <= PROBE_ELEMENTS
    assert budget_seconds(None, costs) <= 0.05
    assert not is_short(None, costs)


@given(st.integers(1, 100_000), st.integers(1, 64))
def test_shrinking_batches_share_the_rest_out(left: int, slots: int) -> None:
    """Every worker gets some of what is left, until there is less than one for each."""
    costs = RunnerCosts(1e-9, 1e9)
    batches = 0
    while left:
        size = batch_size(left, slots, 1.0, costs)
        assert size <= max(left // (2 * slots), 1) or size <= 1
        left -= size
        batches += 1
    assert batches < 100_000


@given(LEFT, SLOTS, st.integers(1, 10_000))
def test_concurrent_batches_are_shared_out_and_capped(left: int, slots: int, free: int) -> None:
    size = concurrent_batch_size(left, slots, free)
    assert 1 <= size <= min(left, MAX_CONCURRENT_BATCH, free)
    assert (size - 1) * slots < left
