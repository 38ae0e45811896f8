"""A map of small results that are all kept, and the same map without: what keeping adds."""

from __future__ import annotations

from time import perf_counter

from benchmarks.tasks import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from benchmarks.rivals.protocol import DurableRival

WARM = True

TRIES = 3


def run(rival: DurableRival, n: int) -> dict[str, float]:
    """The best of a few of each, in turns."""
    kept, plain = [], []
    for _ in range(TRIES):
        plain.append(_seconds(rival, rival.map_function, n))
        kept.append(_seconds(rival, rival.map_kept, n))
    return {"seconds_each": min(kept) / n, "added_each": (min(kept) - min(plain)) / n}


def _seconds(
    rival: DurableRival, carry_out: Callable[[Callable[..., Any], Sequence[Any]], list[Any]], n: int
) -> float:
    started = perf_counter()
    values = carry_out(moment, range(n))
    seconds = perf_counter() - started
    assert len(values) == n, "elements are missing"
    rival.check_records(n)
    return seconds
