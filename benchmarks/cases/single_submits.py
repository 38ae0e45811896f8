"""A loop of single submits of a task that does nothing, then the result of each."""

from __future__ import annotations

from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = True


def run(rival: Rival, n: int) -> dict[str, float]:
    started = perf_counter()
    values = rival.submit(n)
    seconds = perf_counter() - started
    assert values == list(range(n)), "the submits gave other values"
    rival.check_records(n)
    return {"seconds_each": seconds / n}
