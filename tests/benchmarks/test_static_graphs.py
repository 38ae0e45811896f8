"""Static graphs."""

from __future__ import annotations

import pytest

from benchmarks.calls import carry_out
from benchmarks.static_graphs import GRAPHS, cross_validation, merge, tree


@pytest.mark.parametrize("name", GRAPHS)
def test_calls_take_values_of_calls_before_them(name):
    make, _ = GRAPHS[name]
    for number, call in enumerate(make(8, 0.5)):
        assert all(0 <= taken < number for taken in call.dependencies)


def test_the_last_call_of_a_merge_takes_all():
    calls = merge(5, 0)
    assert calls[-1].dependencies == (0, 1, 2, 3, 4)
    assert carry_out(calls)[-1] == 6


def test_every_value_of_a_tree_is_taken_once():
    calls = tree(8, 0)
    taken = [number for call in calls for number in call.dependencies]
    assert len(calls) == 15
    assert sorted(taken) == list(range(14))
    assert carry_out(calls)[-1] == 15


def test_a_cross_validation_is_chains_between_two_tasks():
    calls = cross_validation(12, 0)
    assert len(calls) == 50
    assert sum(call.dependencies == (0,) for call in calls) == 12
    assert calls[-1].dependencies == tuple(range(4, 49, 4))
    assert carry_out(calls)[-1] == 12 * 5 + 1
