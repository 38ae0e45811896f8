"""The suite `clusters`: what it costs to use a cluster that stays, and how soon one grows."""

from __future__ import annotations

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Clusters that stay"
WORKERS = 2
ROUNDS = 5

_RUNS = 3
_NAPS = 40

ROWS: tuple[Row, ...] = (
    Row("standing_start", "starting one", "s", "start_seconds", work="standing", is_total=True),
    Row(
        "standing_flow",
        "a flow of one submit on it, in a fresh process",
        "s",
        "flow_seconds",
        work="standing",
        is_total=True,
    ),
    Row(
        "standing_added",
        "what that adds to the process, over the same flow on threads",
        "s",
        "added_seconds",
        work="standing",
        is_total=True,
    ),
    Row(
        "growing_first",
        "one that follows the work has no workers: until the first element begins",
        "s",
        "first_seconds",
        work="growing",
        is_total=True,
    ),
    Row(
        "growing_all",
        "the same, until an element has begun on each worker that the work is worth",
        "s",
        "all_seconds",
        work="growing",
        is_total=True,
    ),
)

NOTES: tuple[str, ...] = (
    "Provider `local`: what a batch system or a cloud takes to give workers is not in it.",
    f"A flow on it: `dask:NAME` in {_RUNS} fresh processes, after a first one; the median. It "
    "imports Dask's client, finds the cluster, connects, and compares versions. What it adds: the "
    "median of the whole processes, less that of as many which ran the same flow on threads.",
    "Growing: `adapt = {maximum = 2}`; naps of 0.2 s, measured in a run before, after which the "
    "cluster has retired its workers. From the call of the flow, which connects to it anew.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """All of it with dataflow on Dask alone; the work is what it takes to want two workers."""
    if peer.key != "dataflow-dask":
        return []
    return [
        Work("standing", "standing_cluster", max(1, round(_RUNS * scale)), False),
        Work("growing", "growing_cluster", _NAPS, False),
    ]
