"""METG(50 %) of one map: no dependencies, and the runtime is told of all tasks at once."""

from __future__ import annotations

from benchmarks.granularity import smallest_length
from benchmarks.tasks import spin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rivals.protocol import MapRival

WARM = True


def run(rival: MapRival, n: int) -> dict[str, float]:
    def prepare(turns: int) -> Callable[[], None]:
        items = [turns] * n

        def carry_out_all() -> None:
            assert rival.map_function(spin, items) == [1] * n, "the map gave other values"

        return carry_out_all

    length = smallest_length(prepare, n, rival.workers)
    rival.check_records(n)
    return {"metg_seconds": length}
