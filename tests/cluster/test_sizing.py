"""How many workers the remaining work is worth."""

from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from cluster.sizing import target_workers, workers_for
from dataflow.execution.runner_protocol import Remaining

SECONDS = st.floats(0, 1e9)
KNOWN_OR_NOT = st.none() | SECONDS
ELEMENTS = st.integers(0, 10**9)
THREADS = st.floats(1, 128)
MINIMUM = st.integers(0, 100)
MAXIMUM = st.integers(0, 10_000) | st.just(math.inf)
DURATION = st.floats(0, 1e5)
WORKERS = st.integers(0, 10_000)


@given(KNOWN_OR_NOT, ELEMENTS, THREADS, MINIMUM, MAXIMUM, DURATION, WORKERS)
def test_it_stays_within_its_bounds(
    seconds: float | None,
    elements: int,
    threads: float,
    minimum: int,
    maximum: float,
    duration: float,
    workers: int,
) -> None:
    found = target_workers(seconds, elements, threads, minimum, maximum, duration, workers)
    assert isinstance(found, int)
    assert minimum <= found <= max(maximum, minimum)
    assert found <= max(math.ceil(elements / threads), minimum)
    if elements and maximum >= 1:
        assert found >= 1
    if not elements:
        assert found == minimum


@given(SECONDS, st.integers(1, 10**9), THREADS, st.floats(0.01, 1e5))
def test_the_work_takes_about_the_target_duration(
    seconds: float, elements: int, threads: float, duration: float
) -> None:
    found = target_workers(seconds, elements, threads, target_duration=duration)
    fewer = found - 1
    if found < elements / threads:  # else each element has a thread
        assert seconds / (found * threads) <= duration * 1.001
    assert fewer == 0 or seconds / (fewer * threads) >= duration * 0.999


@given(SECONDS, SECONDS, ELEMENTS, ELEMENTS, THREADS, MINIMUM, MAXIMUM)
def test_more_work_never_wants_fewer_workers(
    seconds: float,
    more_seconds: float,
    elements: int,
    more_elements: int,
    threads: float,
    minimum: int,
    maximum: float,
) -> None:
    found = target_workers(seconds, elements, threads, minimum, maximum)
    more = (seconds + more_seconds, elements + more_elements)
    assert target_workers(*more, threads, minimum, maximum) >= found


@given(st.integers(1, 10**9), THREADS, MAXIMUM, WORKERS)
def test_what_was_never_measured_doubles_at_most(
    elements: int, threads: float, maximum: float, workers: int
) -> None:
    found = target_workers(None, elements, threads, 0, maximum, workers=workers)
    assert found <= max(2 * workers, 1)
    assume(elements / threads >= 2 * workers and maximum >= max(2 * workers, 1))
    assert found == max(2 * workers, 1)


def test_figures() -> None:
    assert target_workers(15.0, 300, 1, 0, 10) == 3
    assert target_workers(15.0, 300, 4, 0, 10) == 1
    assert target_workers(15.0, 300, 1, 0, 2) == 2
    assert target_workers(3600.0, 2, 1, 0, 10) == 2
    assert target_workers(0.0, 1, 1) == 1


def test_measured_work_does_not_wait_for_what_was_never_measured() -> None:
    remaining = Remaining(elements=100, seconds=50.0, unmeasured=1000)
    assert workers_for(remaining, 0, 1, 0, 20, 5.0) == 10
    assert workers_for(remaining, 8, 1, 0, 20, 5.0) == 16
    assert workers_for(Remaining(), 8, 1, 0, 20, 5.0) == 0
