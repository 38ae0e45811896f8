"""How fast values become hashes of their content; the best of a few times."""

from __future__ import annotations

from benchmarks.granularity import seconds_of
from benchmarks.tasks import changed, make_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import HashingRival

WARM = False

TRIES = 3


def run(rival: HashingRival, n: int, kind: str) -> dict[str, float]:
    """`n` is the bytes of the value."""
    rival.load()
    value = make_values(kind, n)
    name = rival.hash_value(value)
    assert rival.hash_value(make_values(kind, n)) == name, "the same content has another hash"
    assert rival.hash_value(changed(value)) != name, "other content has the same hash"
    seconds = min(seconds_of(lambda: rival.hash_value(value)) for _ in range(TRIES))
    return {"bytes_a_second": n / seconds}
