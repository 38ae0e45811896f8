"""The calls of two maps in a row, and how long the first result takes; medians of a few times.

Some short maps come first: the interpreter makes code that it has run a few times faster.
"""

from __future__ import annotations

from statistics import median

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True

TRIES = 3
BEFORE = 10


def run(rival: GraphRival, n: int) -> dict[str, float]:
    times = []
    for _ in range(BEFORE):
        rival.timed_maps(10)
    for _ in range(TRIES):
        *seconds, values = rival.timed_maps(n)
        assert values == list(range(n)), "the map gave other values"
        rival.check_records(2 * n)
        times.append(seconds)
    call, next_call, first = map(median, zip(*times, strict=True))
    return {"call_seconds": call, "next_call_seconds": next_call, "first_seconds": first}
