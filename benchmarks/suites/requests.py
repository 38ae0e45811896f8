"""The suite `requests`: many calls that wait for a server, on the event loop of one worker."""

from __future__ import annotations

from benchmarks.cases.requests import AT_ONCE
from benchmarks.harness import Work
from benchmarks.page_server import DELAY_SECONDS
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Requests: an `async` task mapped over pages of a local server"
WORKERS = 1
ROUNDS = 5

_REQUESTS = 10_000
_PEERS = {"dataflow", "dataflow-dask"}

ROWS: tuple[Row, ...] = (
    Row("requests_seconds", "n requests", "s", "seconds", work="requests", is_total=True),
    Row(
        "requests_bare",
        "n requests by `asyncio.gather` alone",
        "s",
        "bare_seconds",
        work="requests",
        is_total=True,
    ),
    Row("requests_ratio", "the first over the second", "×", "over_bare", work="requests"),
    Row("requests_at_once", "in flight at once at most", "", "most_at_once", work="requests"),
    Row(
        "requests_bare_at_once",
        "the same by `asyncio.gather` alone",
        "",
        "bare_most_at_once",
        work="requests",
    ),
)

NOTES: tuple[str, ...] = (
    f"The server, in a process of its own, holds each request for {DELAY_SECONDS * 1000:.0f} ms, "
    "and counts how many it has in its hands. Each value is checked, and so are dataflow's records "
    "of every call.",
    "The client is the same: asyncio's streams, over connections that are open. So is the limit: "
    f"{AT_ONCE:,} calls under way, those of dataflow for a worker, a semaphore for `gather`.",
    "`gather` runs in the flow's process, when nothing else does. The two take turns; medians of 3 "
    "within the process.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """One map, by dataflow alone: peers run a coroutine for each of their slots at most."""
    if peer.key not in _PEERS:
        return []
    return [Work("requests", "requests", max(10, round(_REQUESTS * scale)), False)]
