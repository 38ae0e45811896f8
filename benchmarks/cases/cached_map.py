"""A map of which a part is cached, the half or all of it; the best of a few times."""

from __future__ import annotations

import time

from benchmarks.tasks import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import DurableRival

WARM = True

TRIES = 3


def run(rival: DurableRival, n: int, share: str) -> dict[str, float]:
    """`share` is `all` or `half`: then the second half is new each time."""
    known = n if share == "all" else n // 2
    before = rival.map_cached(moment, range(known))
    return {"seconds_each": min(_seconds(rival, before, n, at) for at in range(TRIES)) / n}


def _seconds(rival: DurableRival, before: list[float], n: int, number: int) -> float:
    known = len(before)
    new = range(n * (number + 1), n * (number + 2) - known)
    items = [*range(known), *new]
    asked = time.monotonic()
    values = rival.map_cached(moment, items)
    seconds = time.monotonic() - asked
    assert values[:known] == before, "what was cached was made again"
    assert len(values) == n, "elements are missing"
    assert all(value > asked for value in values[known:]), "what is new was not made"
    rival.check_cached(known)
    rival.check_records(n - known)
    return seconds
