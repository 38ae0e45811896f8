"""How long it takes until the first element of a large map begins."""

from __future__ import annotations

import time

from benchmarks.tasks import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import MapRival

WARM = True


def run(rival: MapRival, n: int) -> dict[str, float]:
    asked = time.monotonic()
    began = rival.map_function(moment, range(n))
    assert len(began) == n, "elements are missing"
    rival.check_records(n)
    return {"first_seconds": min(began) - asked}
