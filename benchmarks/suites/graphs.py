"""The suite `graphs`: static graphs that Dask and its successors are measured with."""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row
from benchmarks.static_graphs import GRAPHS

TITLE = "Graphs: those of RSDS and of Dask's own benchmarks"
WORKERS = 2
ROUNDS = 5

ROWS: tuple[Row, ...] = (
    Row("graph_merge", "merge: n no-ops, one that takes all", "s", "seconds", 1, "merge", True),
    Row("graph_merge_large", "merge, larger: per task", "µs", "seconds_each", 1e6, "merge_large"),
    Row(
        "graph_merge_slow",
        "merge-slow: the same, 10 ms each",
        "s",
        "seconds",
        1,
        "merge_slow",
        True,
    ),
    Row("graph_tree", "tree: n leaves, reduced by twos", "s", "seconds", 1, "tree", True),
    Row(
        "graph_crossv",
        "crossv: n chains of 4 tasks of 100 ms between two tasks",
        "s",
        "seconds",
        1,
        "crossv",
        True,
    ),
    Row("graph_map", "a map of n no-ops, per element", "µs", "seconds_each", 1e6, "large_map"),
    # of fewer elements it is no later: Dask, which maps fewer, has no harm by the ratio
    Row("first_work", "map of n: until the first begins", "ms", "first_seconds", 1e3),
    Row("pipeline", "n values of 160 MB, made and summed", "s", "seconds", is_total=True),
    Row(
        "pipeline_memory",
        "the same: memory added to all processes",
        "MB",
        "peak_bytes",
        1e-6,
        "pipeline",
        True,
    ),
)

NOTES: tuple[str, ...] = (
    "merge, tree, crossv: Böhm & Beránek, Runtime vs Scheduler: Analyzing Dask's Overheads, 2020; "
    "map, first work and memory: the futures benchmarks of Dask and Coiled. Workers are warm; "
    "every value read is checked, and so are dataflow's records of every task.",
    "Static graphs are given to dataflow by a `submit` for each task, in a flow, to Dask as one "
    "graph through `client.get`, its fastest way.",
    "crossv has 50 tasks with n = 12: on 2 workers 2.6 s at best. merge-slow: 5 s at best.",
    "Memory of all processes: anonymous pages and shared memory at their peak, over those before; "
    "a thread of the flow's process looks every 10 ms.",
)

_GRAPH_PEERS = {"dataflow", "dataflow-dask", "dask"}
_GRAPH_SIZES = {
    "merge": 10_000,
    "merge_large": 100_000,
    "merge_slow": 1000,
    "tree": 4096,
    "crossv": 12,
}
_MAPPED = {"dataflow": 100_000, "dataflow-dask": 100_000, "pool-500": 100_000, "dask": 5000}
_VALUES = 100
_DASK_MERGE = 20_000
"""What it costs a task does not depend on it, and 100,000 take it a minute."""


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """The graphs, the maps and the pipeline; a tree keeps a power of two."""
    works = []
    if peer.key in _GRAPH_PEERS:
        for name in GRAPHS:
            size = _GRAPH_SIZES[name]
            if peer.key == "dask":
                size = min(size, _DASK_MERGE)
            n = max(2, round(size * scale))
            n = 1 << n.bit_length() - 1 if name == "tree" else n
            works.append(Work(name, "static_graph", n, True, name))
    if peer.key in _MAPPED:
        n = max(2, round(_MAPPED[peer.key] * scale))
        works.append(Work("large_map", "map_elements", n, True))
        works.append(Work("first_work", "first_work", n, True))
    if peer.key in _GRAPH_PEERS and find_spec("numpy") is not None:
        works.append(Work("pipeline", "pipeline", max(2, round(_VALUES * scale)), False))
    return works
