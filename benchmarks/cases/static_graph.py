"""A graph that is known as a whole before it begins."""

from __future__ import annotations

from time import perf_counter

from benchmarks.calls import carry_out
from benchmarks.static_graphs import GRAPHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True


def run(rival: GraphRival, n: int, name: str) -> dict[str, float]:
    make, task_seconds = GRAPHS[name]
    calls = make(n, task_seconds)
    expected = carry_out(make(n, 0))[-1]
    started = perf_counter()
    values = rival.graph(calls, [len(calls) - 1])
    seconds = perf_counter() - started
    assert values == [expected], "the graph gave another value"
    rival.check_records(len(calls))
    return {"seconds": seconds, "seconds_each": seconds / len(calls)}
