"""A short branch submitted right after a long map: how much longer it takes than alone."""

from __future__ import annotations

from statistics import median

from benchmarks.calls import Call
from benchmarks.tasks import doze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True

LINKS, LINK_SECONDS = 5, 0.010
TRIES = 3


def run(rival: GraphRival, n: int) -> dict[str, float]:
    alone = median(_branch_seconds(rival, 0) for _ in range(TRIES))
    beside = median(_branch_seconds(rival, n) for _ in range(TRIES))
    return {"alone_seconds": alone, "beside_seconds": beside, "ratio": beside / alone}


def _branch_seconds(rival: GraphRival, n: int) -> float:
    calls = [
        Call(doze, (LINK_SECONDS,), (number - 1,)[: min(number, 1)]) for number in range(LINKS)
    ]
    seconds, values = rival.branch(n, calls)
    assert values == list(range(n)), "the map gave other values"
    rival.check_records(n + LINKS)
    return seconds
