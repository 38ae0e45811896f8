"""The dependence patterns of Task Bench."""

from __future__ import annotations

import pytest

from benchmarks.calls import carry_out
from benchmarks.patterns import PATTERNS, WIDTH, dependencies, pattern_calls


@pytest.mark.parametrize(
    ("pattern", "step", "place", "expected"),
    [
        ("trivial", 3, 5, []),
        ("no_comm", 3, 5, [5]),
        ("stencil_1d", 3, 5, [4, 5, 6]),
        ("stencil_1d", 3, 0, [0, 1]),
        ("stencil_1d_periodic", 3, 0, [0, 1, 15]),
        ("fft", 1, 5, [4, 5, 6]),
        ("fft", 4, 5, [5, 13]),
        ("fft", 5, 5, [4, 5, 6]),
        ("tree", 3, 5, [2]),
        ("dom", 3, 5, [4, 5]),
        ("dom", 3, 0, [0]),
        ("all_to_all", 3, 5, list(range(16))),
        ("nearest", 3, 5, [3, 4, 5, 6, 7]),
        ("nearest", 3, 15, [13, 14, 15]),
        ("spread", 1, 0, [0, 4, 7, 10, 13]),
    ],
)
def test_dependencies(pattern, step, place, expected):
    assert dependencies(pattern, step, place) == expected


def test_random_nearest_is_half_of_the_nearest_and_always_the_same():
    places = [(step, place) for step in range(1, 200) for place in range(2, WIDTH - 2)]
    found = [dependencies("random_nearest", *place) for place in places]
    assert found == [dependencies("random_nearest", *place) for place in places]
    assert all(
        set(some) <= set(dependencies("nearest", *place))
        for some, place in zip(found, places, strict=True)
    )
    assert 2.4 < sum(map(len, found)) / len(found) < 2.6


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_grid_depends_on_the_step_before_alone(pattern):
    calls = pattern_calls(pattern, 3, 7)
    assert len(calls) == 3 * WIDTH
    for number, call in enumerate(calls):
        step = number // WIDTH
        assert call.arguments == (7,)
        assert all(taken // WIDTH == step - 1 for taken in call.dependencies)
    assert not any(call.dependencies for call in calls[:WIDTH])


def test_the_values_depend_on_every_input():
    values = carry_out(pattern_calls("dom", 3, 0))
    assert values[:WIDTH] == [1] * WIDTH
    assert values[WIDTH : WIDTH + 3] == [2, 3, 3]
    assert values[2 * WIDTH : 2 * WIDTH + 3] == [3, 6, 7]
