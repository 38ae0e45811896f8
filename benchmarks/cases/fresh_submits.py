"""What a short program does: start, submit a few tasks, print the results, end."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False


def run(rival: Rival, n: int) -> dict[str, float]:
    rival.open()
    values = rival.submit(n)
    assert values == list(range(n)), "the submits gave other values"
    return {}
