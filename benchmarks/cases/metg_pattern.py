"""METG(50 %) of a graph in one of the patterns of Task Bench; every value is checked."""

from __future__ import annotations

from benchmarks.calls import carry_out
from benchmarks.granularity import smallest_length
from benchmarks.patterns import WIDTH, pattern_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rivals.protocol import GraphRival

WARM = True


def run(rival: GraphRival, n: int, pattern: str) -> dict[str, float]:
    steps = n // WIDTH
    expected = carry_out(pattern_calls(pattern, steps, 0))

    def prepare(turns: int) -> Callable[[], None]:
        calls = pattern_calls(pattern, steps, turns)

        def carry_out_all() -> None:
            values = rival.graph(calls, range(len(calls)))
            assert values == expected, "the graph gave other values"

        return carry_out_all

    length = smallest_length(prepare, len(expected), rival.workers)
    rival.check_records(len(expected))
    return {"metg_seconds": length}
