"""A map over a map over a map, beside a single one, in turn; medians of a few of each."""

from __future__ import annotations

from statistics import median

from benchmarks.granularity import seconds_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True

TRIES = 7


def run(rival: GraphRival, n: int) -> dict[str, float]:
    expected = list(range(n))

    def carry_out() -> None:
        assert rival.map_thrice(n) == expected, "the maps gave other values"

    one, three = [], []
    for _ in range(TRIES):
        one.append(seconds_of(lambda: rival.map(n)))
        three.append(seconds_of(carry_out))
        rival.check_records(3 * n)
    return {"seconds_each": median(three) / n, "ratio": median(three) / median(one)}
