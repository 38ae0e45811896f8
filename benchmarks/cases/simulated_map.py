"""A flow that maps on a simulated cluster: how long it takes, and what its process needs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False


def run(rival: Rival, n: int, threads: str, mean_seconds: str, kind: str) -> dict[str, float]:
    """In the home of the rival, whose runner is not used."""
    rival.load()
    from benchmarks.simulation.run import simulate

    found = simulate(int(threads), n, float(mean_seconds), kind)
    rival.check_records(n)
    return {
        "over_ideal": found.over_ideal,
        "client_share": found.client_seconds / found.makespan,
        "client_bytes": found.client_bytes,
        "messages_a_second": found.messages / found.makespan,
    }
