"""The memory that a map with all values read takes, in this process and in the scheduler's."""

from __future__ import annotations

from benchmarks.peak_memory import PeakMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True


def run(rival: GraphRival, n: int) -> dict[str, float]:
    pid = rival.scheduler_pid()
    scheduler = None if pid is None else PeakMemory(pid)
    here = PeakMemory()
    values = rival.map(n)
    found = {"flow_bytes": here.grown_bytes()}
    if scheduler is not None:
        found["scheduler_bytes"] = scheduler.grown_bytes()
    assert values == list(range(n)), "the map gave other values"
    rival.check_records(n)
    return dict(found)
