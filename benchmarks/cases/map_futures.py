"""One map of a task that does nothing, the result of each single future asked for in turn."""

from __future__ import annotations

from time import perf_counter

from benchmarks.peak_memory import PeakMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = True


def run(rival: Rival, n: int) -> dict[str, float]:
    memory = PeakMemory()
    started = perf_counter()
    values = rival.map_each(n)
    seconds = perf_counter() - started
    grown_bytes = memory.grown_bytes()
    assert values == list(range(n)), "the map gave other values"
    rival.check_records(n)
    return {"seconds_each": seconds / n, "grown_bytes": grown_bytes}
