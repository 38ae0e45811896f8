"""Uneven durations."""

from __future__ import annotations

import pytest

from benchmarks.durations import KINDS, durations


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_5_ms_or_another_and_the_draw_is_always_the_same(kind):
    found = durations(kind, 1000)
    assert sum(found) / len(found) == pytest.approx(0.005)
    assert durations(kind, 1000, 0.02) == pytest.approx([4 * seconds for seconds in found])
    assert found == durations(kind, 1000)


def test_one_in_a_hundred_takes_a_hundred_times_as_long():
    found = durations("rare", 1000)
    assert sum(seconds > 50 * min(found) for seconds in found) == 10
    assert max(found) == pytest.approx(100 * min(found))


def test_sorted_durations_are_the_same_as_unsorted():
    drawn = durations("lognormal", 500)
    assert drawn != sorted(drawn)
    assert durations("ascending", 500) == pytest.approx(sorted(drawn))
    assert durations("descending", 500) == pytest.approx(sorted(drawn, reverse=True))
