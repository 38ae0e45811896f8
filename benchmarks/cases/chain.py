"""A chain: each submit takes the result of the one before; a short one comes first."""

from __future__ import annotations

from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = True
WARM_LINKS = 20


def run(rival: Rival, n: int) -> dict[str, float]:
    rival.chain(WARM_LINKS)
    started = perf_counter()
    value = rival.chain(n)
    seconds = perf_counter() - started
    assert value == n, "the chain lost a link"
    rival.check_records(n)
    return {"seconds_each": seconds / n}
