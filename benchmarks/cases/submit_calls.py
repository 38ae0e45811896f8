"""The calls of `submit` alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True


def run(rival: GraphRival, n: int) -> dict[str, float]:
    seconds, values = rival.timed_submits(n)
    assert values == list(range(n)), "the submits gave other values"
    rival.check_records(n)
    return {"seconds_each": seconds / n}
