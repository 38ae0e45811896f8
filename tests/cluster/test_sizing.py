"""How many workers a cluster should have: for what remains, within all of its limits."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from cluster.sizing import (
    ClusterLoad,
    SizeLimits,
    affordable_workers,
    decide_size,
    workers_for_measured,
    workers_for_unmeasured,
    workers_for_values,
)
from dataflow.execution.runner_protocol import Remaining

COUNTS = st.integers(0, 10_000)
SECONDS = st.floats(0, 1e9)

REMAINING = st.builds(Remaining, st.integers(0, 10**9), SECONDS, st.integers(0, 10**9)) | st.just(
    Remaining()
)


@st.composite
def loads(draw: st.DrawFn, used: st.SearchStrategy[float] = SECONDS) -> ClusterLoad:
    """Of a cluster that could be."""
    workers = draw(COUNTS)
    holders = draw(st.integers(0, workers))
    return ClusterLoad(
        workers=workers,
        threads_per_worker=draw(st.floats(1, 128)),
        busy=draw(st.integers(0, workers)),
        holders=holders,
        held_bytes=draw(st.integers(1, 10**15)) if holders else 0,
        memory_bytes=draw(st.just(0) | st.integers(10**9, 10**14)),
        asked=draw(COUNTS),
        used_seconds=draw(used),
        is_spent=draw(st.booleans()),
    )


LIMITS = st.builds(
    SizeLimits,
    minimum=st.integers(0, 100),
    maximum=COUNTS | st.just(math.inf),
    target_seconds=st.floats(0, 1e5),
    max_worker_seconds=SECONDS | st.just(math.inf),
    notice_seconds=st.floats(0.01, 60),
)
RECENT = st.lists(COUNTS, max_size=5)


def held(load: ClusterLoad) -> int:
    """Workers without which values that are needed would have no room."""
    return min(workers_for_values(load), load.workers)


@given(REMAINING, loads(), LIMITS, RECENT)
def test_it_stays_within_its_bounds(
    remaining: Remaining, load: ClusterLoad, limits: SizeLimits, recent: list[int]
) -> None:
    found = decide_size(remaining, load, limits, recent)
    assert isinstance(found.workers, int)
    assert found.workers <= max(limits.maximum, limits.minimum, held(load))
    if not found.is_spent:
        assert found.workers >= min(limits.minimum, affordable_workers(load, limits))


@given(REMAINING, loads(), LIMITS, RECENT)
def test_what_holds_values_that_are_needed_is_kept(
    remaining: Remaining, load: ClusterLoad, limits: SizeLimits, recent: list[int]
) -> None:
    found = decide_size(remaining, load, limits, recent)
    assert found.workers >= held(load)
    if load.held_bytes and load.workers:
        assert found.workers >= 1


@given(REMAINING, loads(), LIMITS, RECENT)
def test_nobody_is_wanted_that_cannot_be_paid_for(
    remaining: Remaining, load: ClusterLoad, limits: SizeLimits, recent: list[int]
) -> None:
    found = decide_size(remaining, load, limits, recent)
    left = limits.max_worker_seconds - load.used_seconds
    if found.workers > held(load):
        assert found.workers * limits.notice_seconds <= left
    if load.is_spent:
        assert found.is_spent
        assert found.workers == held(load)
    if math.isinf(limits.max_worker_seconds) and not load.is_spent:
        assert not found.is_spent


@given(REMAINING, REMAINING, loads(), LIMITS, RECENT)
def test_more_work_never_wants_fewer_workers(
    remaining: Remaining,
    more: Remaining,
    load: ClusterLoad,
    limits: SizeLimits,
    recent: list[int],
) -> None:
    together = Remaining(
        remaining.elements + more.elements,
        remaining.seconds + more.seconds,
        remaining.unmeasured + more.unmeasured,
    )
    found = decide_size(remaining, load, limits, recent)
    assert decide_size(together, load, limits, recent).workers >= found.workers


@given(st.integers(1, 10**9), SECONDS, st.floats(1, 128), st.floats(0.01, 1e5))
def test_the_work_takes_about_the_target_duration(
    elements: int, seconds: float, threads: float, target: float
) -> None:
    load, limits = ClusterLoad(threads_per_worker=threads), SizeLimits(target_seconds=target)
    found = workers_for_measured(Remaining(elements, seconds), load, limits)
    assert 1 <= found <= math.ceil(elements / threads)
    if found < elements / threads:  # else each element has a thread
        assert seconds / (found * threads) <= target * 1.001
    assert found == 1 or seconds / ((found - 1) * threads) >= target * 0.999


@given(st.integers(1, 10**9), loads())
def test_what_was_never_measured_doubles_at_most(elements: int, load: ClusterLoad) -> None:
    found = workers_for_unmeasured(Remaining(unmeasured=elements), load)
    assert found <= max(2 * load.workers, 1)
    assume(elements / load.threads_per_worker >= 2 * load.workers)
    assert found == max(2 * load.workers, 1)


@given(st.lists(st.tuples(REMAINING, st.integers(0, 50)), min_size=1, max_size=30), LIMITS)
def test_the_size_does_not_swing(checks: list[tuple[Remaining, int]], limits: SizeLimits) -> None:
    """It is smaller only if no more was wanted for the last checks, whatever comes and goes."""
    limits = replace(limits, max_worker_seconds=math.inf)
    wanted: list[int] = []
    sizes: list[int] = []
    for remaining, busy in checks:
        load = ClusterLoad(workers=sizes[-1] if sizes else 0, busy=busy)
        found = decide_size(remaining, load, limits, wanted[-3:])
        wanted.append(found.wanted)
        sizes.append(found.workers)
    for at in range(1, len(sizes)):
        if sizes[at] < sizes[at - 1]:
            most = max(wanted[max(at - 3, 0) : at + 1])
            assert sizes[at] == max(min(most, limits.maximum), limits.minimum)
            assert sizes[at] >= max(min(wanted[at - 1], limits.maximum), limits.minimum)


def test_work_that_comes_and_goes_keeps_its_workers() -> None:
    limits = SizeLimits(maximum=10)
    wanted: list[int] = []
    sizes = []
    for remaining in [Remaining(100, 50.0), Remaining()] * 10:
        found = decide_size(remaining, ClusterLoad(workers=10), limits, wanted[-3:])
        wanted.append(found.wanted)
        sizes.append(found.workers)
    assert sizes == [10] * 20


@given(
    st.lists(st.tuples(REMAINING, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=200),
    st.floats(0.1, 1e5),
    COUNTS,
)
def test_a_life_costs_no_more_than_the_ceiling(
    checks: list[tuple[Remaining, float, float]], ceiling: float, maximum: int
) -> None:
    """Checks a second apart at most, workers that end within a second, and come at once."""
    limits = SizeLimits(maximum=maximum, max_worker_seconds=ceiling)
    load = ClusterLoad()
    used = 0.0
    for remaining, until_next, to_end in checks:
        load = replace(load, used_seconds=used, busy=load.workers, asked=maximum)
        found = decide_size(remaining, load, limits)
        if found.is_spent:
            used += load.workers * to_end
            load = replace(load, workers=0, is_spent=True)
        else:
            load = replace(load, workers=max(found.workers, load.workers))
            used += load.workers * until_next
    if not load.is_spent and load.workers:
        assert used <= ceiling + load.workers  # the next check ends it
    assert used <= ceiling * 1.001 or not load.is_spent


def test_values_have_half_of_the_memory() -> None:
    load = ClusterLoad(workers=4, holders=4, held_bytes=3_000, memory_bytes=4_000)
    assert workers_for_values(load) == 6
    assert decide_size(Remaining(), load, SizeLimits()).workers == 6
    assert decide_size(Remaining(), load, SizeLimits(maximum=2)).workers == 4  # they hold them
    unlimited = replace(load, memory_bytes=0)
    assert workers_for_values(unlimited) == 4


def test_figures() -> None:
    def workers(
        remaining: Remaining, threads: float = 1, maximum: float = 10, there: int = 0
    ) -> int:
        load = ClusterLoad(workers=there, threads_per_worker=threads)
        return decide_size(remaining, load, SizeLimits(maximum=maximum)).workers

    assert workers(Remaining(300, 15.0)) == 3
    assert workers(Remaining(300, 15.0), threads=4) == 1
    assert workers(Remaining(300, 15.0), maximum=2) == 2
    assert workers(Remaining(2, 3600.0)) == 2
    assert workers(Remaining(1, 0.0)) == 1
    mixed = Remaining(elements=100, seconds=50.0, unmeasured=1000)
    assert workers(mixed, maximum=20) == 10  # what was measured does not wait for the rest
    assert workers(mixed, maximum=20, there=8) == 16
    assert workers(Remaining(), there=8) == 0


def test_the_reason_has_the_figures_and_the_limit_that_binds() -> None:
    work = Remaining(12_000, 600.0)
    assert str(decide_size(work, ClusterLoad(), SizeLimits(maximum=4))) == (
        "4 worker(s): 12,000 elements remain, measured at 50 ms each (10m 00s on one thread): 120 "
        "of 1 thread(s) do that in 5 s; maximum = 4 is the limit"
    )
    assert "; " not in decide_size(work, ClusterLoad(), SizeLimits()).reason
    assert str(decide_size(Remaining(), ClusterLoad(), SizeLimits(minimum=1))) == (
        "1 worker(s): no work remains: nobody is needed; minimum = 1 is the limit"
    )
    few = decide_size(Remaining(2, 3600.0), ClusterLoad(), SizeLimits())
    assert "2 of 1 thread(s) have a thread for each" in few.reason
    unmeasured = decide_size(Remaining(unmeasured=500), ClusterLoad(workers=3), SizeLimits())
    assert "500 elements remain that were never measured: 6 until some were" in unmeasured.reason
    waiting = decide_size(Remaining(), ClusterLoad(workers=3), SizeLimits(), [3])
    assert "3 were wanted less than 3 s ago" in waiting.reason


def test_the_reason_tells_of_what_is_kept_and_what_is_spent() -> None:
    limits = SizeLimits(max_worker_seconds=3600)
    busy = decide_size(Remaining(), ClusterLoad(workers=3, busy=2), limits)
    assert "no work remains: 2 are busy" in busy.reason
    load = ClusterLoad(workers=2, holders=2, held_bytes=10**9, memory_bytes=4 * 10**9)
    holding = decide_size(Remaining(), load, limits)
    assert "values that are still needed take 1.0 GB of 4.0 GB, for which 1 are" in holding.reason
    nearly = ClusterLoad(workers=2, used_seconds=3000)
    scarce = decide_size(Remaining(10**6, 10**6), nearly, limits)
    assert scarce.workers == 30
    assert "3,000 of max_worker_seconds = 3,600 are used, and what is left pays for 30" in str(
        scarce
    )
    spent = decide_size(Remaining(10, 100.0), replace(nearly, used_seconds=3597), limits)
    assert (spent.workers, spent.is_spent) == (0, True)
    assert (
        "3,597 of max_worker_seconds = 3,600 are used, and what is left pays for nobody: all end"
        in spent.reason
    )
    kept = decide_size(Remaining(), replace(load, is_spent=True, used_seconds=3599), limits)
    assert kept.workers == 1
    assert "but for 1 with values that are still needed" in kept.reason
