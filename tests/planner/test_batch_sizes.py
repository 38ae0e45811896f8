"""Batch sizes stay within their bounds, whatever has been measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.planner.batch_sizes import (
    CLUSTER_BATCH_SECONDS,
    CLUSTER_BATCHES_A_SECOND,
    FEW_SECONDS,
    FEW_SLOTS,
    MAX_CONCURRENT_BATCH,
    PROBE_ELEMENTS,
    RunnerCosts,
    batch_size,
    budget_seconds,
    cluster_costs,
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


def _handed_out(left: int, slots: int, mean: float) -> list[int]:
    """The batches of calls that can all begin now, with one more waiting for each slot."""
    costs = RunnerCosts(dispatch_seconds=0.0004, target_seconds=0.05)
    sizes: list[int] = []
    while left and len(sizes) < 2 * slots:
        sizes.append(batch_size(left, slots, mean, costs, len(sizes), sum(sizes)))
        left -= sizes[-1]
    return sizes


@pytest.mark.parametrize(
    ("mean", "sizes"),
    [(0.0001, [8, 8]), (0.001, [8, 8]), (0.0011, [4, 4, 4, 4]), (0.01, [4, 3, 2, 1])],
)
def test_little_is_not_cut_up(mean: float, sizes: list[int]) -> None:
    assert _handed_out(16, 2, mean) == sizes


@given(st.integers(1, 1000), st.integers(1, 64), st.floats(1e-6, 0.1))
def test_slots_get_equal_shares_of_what_is_little(left: int, slots: int, mean: float) -> None:
    sizes = _handed_out(left, slots, mean)
    if left * mean <= slots * 0.004:
        assert len(sizes) == min(left, slots)
        assert max(sizes) - min(sizes) <= 1


@given(LEFT, SLOTS, st.integers(1, 10_000))
def test_concurrent_batches_are_shared_out_and_capped(left: int, slots: int, free: int) -> None:
    size = concurrent_batch_size(left, slots, free)
    assert 1 <= size <= min(left, MAX_CONCURRENT_BATCH, free)
    assert (size - 1) * slots < left


DISPATCH = st.floats(1e-4, 0.1)


@given(DISPATCH, st.integers(1, FEW_SLOTS))
def test_few_threads_get_batches_that_nobody_waits_for(dispatch: float, slots: int) -> None:
    costs = cluster_costs(dispatch, slots)
    assert 0.1 <= costs.target_seconds <= FEW_SECONDS
    assert costs.least_seconds == costs.part_seconds == 0


@given(DISPATCH, SLOTS, SLOTS)
def test_the_more_threads_the_longer_their_batches(dispatch: float, one: int, two: int) -> None:
    fewer, more = (cluster_costs(dispatch, slots) for slots in sorted((one, two)))
    assert fewer.target_seconds <= more.target_seconds
    assert fewer.least_seconds <= more.least_seconds <= more.target_seconds
    assert fewer.part_seconds <= more.part_seconds


MANY_SLOTS = st.integers(FEW_SLOTS + 1, 20_000)
SHORT = st.floats(1e-6, 0.01)


@given(DISPATCH, MANY_SLOTS, SHORT)
def test_one_process_keeps_up_with_many_threads(dispatch: float, slots: int, mean: float) -> None:
    """Also at the end of a map, when an equal share of what is left is little."""
    costs = cluster_costs(dispatch, slots)
    left = 10_000_000_000
    assert slots / costs.target_seconds <= CLUSTER_BATCHES_A_SECOND * 1.001
    seconds = batch_size(left, slots, mean, costs, busy=slots - 1) * mean
    least = min(slots * CLUSTER_BATCH_SECONDS, costs.target_seconds)
    assert seconds >= min(least, left * mean / slots) - mean
    assert budget_seconds(None, costs) >= costs.least_seconds


@given(DISPATCH, MANY_SLOTS, SHORT, st.data())
def test_batches_of_many_threads_that_begin_together_end_one_after_the_other(
    dispatch: float, slots: int, mean: float, data: st.DataObject
) -> None:
    costs = cluster_costs(dispatch, slots)
    left = int(100 * costs.target_seconds * slots / mean)
    fewer, more = sorted(data.draw(st.lists(st.integers(1, slots), min_size=2, max_size=2)))
    early, late = (batch_size(left, slots, mean, costs, slots - free) for free in (more, fewer))
    assert early <= late
    first = batch_size(left, slots, mean, costs) * mean
    last = batch_size(left, slots, mean, costs, slots - 1) * mean
    assert first <= max(0.51 * last, 10 * dispatch, costs.least_seconds) + 2 * mean
    assert budget_seconds(None, costs, 0.0) <= budget_seconds(None, costs, 0.5)


@given(DISPATCH, MANY_SLOTS, SHORT, LEFT, st.data())
def test_many_free_threads_share_what_is_left(
    dispatch: float, slots: int, mean: float, left: int, data: st.DataObject
) -> None:
    """Whatever is thought of how long it takes: the last elements may be the longest."""
    free = data.draw(st.integers(1, slots))
    size = batch_size(left, slots, mean, cluster_costs(dispatch, slots), slots - free)
    assert (size - 1) * free < left


@given(DISPATCH, MANY_SLOTS, SHORT, LEFT)
def test_what_waits_for_many_busy_threads_is_not_tiny(
    dispatch: float, slots: int, mean: float, left: int
) -> None:
    costs = cluster_costs(dispatch, slots)
    size = batch_size(left, slots, mean, costs, slots, under_way=slots)
    assert size == left or size * mean >= min(costs.least_seconds / 2, costs.target_seconds) - mean
