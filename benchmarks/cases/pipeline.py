"""Values of 160 MB that are made, and summed at once: memory must not grow with their number."""

from __future__ import annotations

from time import perf_counter

from benchmarks.calls import Call
from benchmarks.memory_of_all import MemoryOfAll
from benchmarks.tasks import make_values, total

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True

VALUE_BYTES = 160_000_000


def run(rival: GraphRival, n: int) -> dict[str, float]:
    calls = []
    for number in range(n):
        calls.append(Call(make_values, ("numpy", VALUE_BYTES)))
        calls.append(Call(total, (), (2 * number,)))
    with MemoryOfAll() as memory:
        started = perf_counter()
        values = rival.graph(calls, range(1, 2 * n, 2))
        seconds = perf_counter() - started
    assert values == [VALUE_BYTES / 8] * n, "the pipeline gave other values"
    rival.check_records(2 * n)
    return {"seconds": seconds, "peak_bytes": memory.grown_bytes}
