"""The CPU that the one thread that writes to the store uses for an element of a map."""

from __future__ import annotations

from benchmarks.writer_clock import writer_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = True

TRIES = 3


def run(rival: Rival, n: int) -> dict[str, float]:
    """The whole of a few runs: what a run costs by itself is in it."""
    before = writer_seconds()
    assert before > 0, "there is no writer"
    for _ in range(TRIES):
        assert rival.map(n) == list(range(n)), "the map gave other values"
        rival.check_records(n)
    return {"seconds_each": (writer_seconds() - before) / TRIES / n}
