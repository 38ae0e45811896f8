"""What the import adds to an interpreter that has imported next to nothing."""

from __future__ import annotations

from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False


def run(rival: Rival, n: int) -> dict[str, float]:
    started = perf_counter()
    rival.load()
    return {"seconds": perf_counter() - started}
