"""All slots are busy with what does not end; its run is cancelled by another process."""

from __future__ import annotations

from benchmarks.tasks import begun_to_stay, moment_of_a_while, stay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import DurableRival

WARM = True


def run(rival: DurableRival, _n: int) -> dict[str, float]:
    """The n is that of the workers: the next map needs all of their slots at once."""
    n = rival.workers
    cancelled_at, began = rival.cancel_map(stay, moment_of_a_while, n, lambda: begun_to_stay(n))
    assert len(began) == n, "elements are missing"
    assert min(began) > cancelled_at, "a slot was free before"
    rival.check_records(n)
    return {"seconds": max(began) - cancelled_at}
