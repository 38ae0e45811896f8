"""The call of a map alone, and how long its first result takes; medians of a few maps.

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
    calls, firsts = [], []
    for _ in range(BEFORE):
        rival.timed_map(10)
    for _ in range(TRIES):
        call_seconds, first_seconds, values = rival.timed_map(n)
        assert values == list(range(n)), "the map gave other values"
        rival.check_records(n)
        calls.append(call_seconds)
        firsts.append(first_seconds)
    return {"call_seconds": median(calls), "first_seconds": median(firsts)}
