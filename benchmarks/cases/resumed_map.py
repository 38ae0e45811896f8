"""A map of which half has failed: its run goes on, and does the other half."""

from __future__ import annotations

import time

from benchmarks.tasks import MENDED, moment_once_mended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import DurableRival

WARM = True


def run(rival: DurableRival, n: int) -> dict[str, float]:
    mended_at: list[float] = []

    def mend() -> None:
        MENDED.touch()
        mended_at.append(time.monotonic())

    half = n // 2
    seconds, values = rival.resume_map(moment_once_mended, range(half - n, half), mend)
    assert len(values) == n, "elements are missing"
    assert max(values[: n - half]) < mended_at[0], "what was done was made again"
    assert min(values[n - half :]) > mended_at[0], "what was not done was not made"
    rival.check_records(n)
    return {"seconds_each": seconds / n}
