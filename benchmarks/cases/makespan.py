"""One map of tasks that sleep unevenly: its time over the least that it can take."""

from __future__ import annotations

from time import perf_counter

from benchmarks.durations import MEAN_SECONDS, durations
from benchmarks.tasks import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import MapRival

WARM = True


def run(rival: MapRival, n: int, kind: str, milliseconds: str = "") -> dict[str, float]:
    """`milliseconds`: the mean, where it is not the usual one."""
    asked = durations(kind, n, int(milliseconds) / 1000 if milliseconds else MEAN_SECONDS)
    started = perf_counter()
    taken = rival.map_function(pause, asked)
    seconds = perf_counter() - started
    assert len(taken) == n, "elements are missing"
    assert all(real >= wanted for real, wanted in zip(taken, asked, strict=True)), "out of order"
    rival.check_records(n)
    shared_out, longest = sum(taken) / rival.workers, max(taken)
    return {"seconds": seconds, "over_ideal": seconds / max(shared_out, longest)}
