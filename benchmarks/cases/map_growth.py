"""A map, and one of a hundredth of its elements: what an element costs in each."""

from __future__ import annotations

from statistics import median
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = True

FEWER = 100
_TRIES = 5


def run(rival: Rival, n: int) -> dict[str, float]:
    few = max(1, n // FEWER)
    few_each = median(_seconds_each(rival, few) for _ in range(_TRIES))
    many_each = _seconds_each(rival, n)
    return {
        "few_seconds_each": few_each,
        "many_seconds_each": many_each,
        "ratio": many_each / few_each,
    }


def _seconds_each(rival: Rival, n: int) -> float:
    started = perf_counter()
    values = rival.map(n)
    seconds = perf_counter() - started
    assert values == list(range(n)), "the map gave other values"
    rival.check_records(n)
    return seconds / n
