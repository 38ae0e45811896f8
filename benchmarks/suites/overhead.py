"""The suite `overhead`: what a task costs that does nothing.

Peers that take milliseconds for an element do fewer, so that each measurement is a second or two of
work; the tables state every n. Fewer would be unfair to Prefect, whose flows have a fixed cost of
about a second: 14 ms a submit at 150, 29 ms at 40.
"""

from __future__ import annotations

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Overhead: tasks that do nothing"
WORKERS = 2
ROUNDS = 5

ROWS: tuple[Row, ...] = (
    Row("map", "`noop.map(range(n))`, values read at once, per element", "µs", "seconds_each", 1e6),
    Row("map_each", "the same, each future read in turn, per element", "µs", "seconds_each", 1e6),
    Row("submits", "n submits, then each result, per submit", "µs", "seconds_each", 1e6),
    Row("chain", "chain of n dependent submits, per link", "µs", "seconds_each", 1e6),
    Row(
        "first", "first flow of a fresh process, one submit", "s", "process_seconds", is_total=True
    ),
    Row("ten", "ten submits in a fresh process", "s", "process_seconds", is_total=True),
    Row("import", "import, over a bare interpreter", "ms", "seconds", 1e3, is_total=True),
    Row(
        "memory",
        "memory added by the map, values read at once",
        "MB",
        "grown_bytes",
        1e-6,
        work="map",
        is_total=True,
    ),
    Row(
        "memory_each",
        "memory added by the map, each future read in turn",
        "MB",
        "grown_bytes",
        1e-6,
        work="map_each",
        is_total=True,
    ),
)

NOTES: tuple[str, ...] = (
    "map, submits, chain: the whole flow, workers warm; every value is read back and checked. "
    "Read at once: `FutureList.result()`, `gather`, `ray.get` of the list. Read in turn: "
    "`future.result()` of each, which makes the future objects too; a pool's map has none.",
    "first, ten: wall time of the whole process, from its start to its end.",
    "Not taken: reading in turn of Parsl, whose map is single calls anyway, and of Prefect; ten "
    "submits of both, whose start in a fresh process is nearly all of it.",
    "Dask, Ray and Parsl do map, submits and chain of a round in one process, all others each in "
    "one of its own.",
    "memory: peak resident memory of the flow's process during the map, over what it had before. "
    "The scheduler of a `LocalCluster` is in that process.",
    "dataflow keeps state and times of every element in its store, which each process makes anew; "
    "after the clock has stopped, the store is asked whether all are there. "
    "The pool, Dask, Ray and Parsl keep nothing.",
)

_ALL = "*"
_CASES: dict[str, tuple[str, bool, dict[str, int]]] = {
    "map": (
        "map_elements",
        True,
        {
            "dataflow": 100_000,
            "dataflow-dask": 100_000,
            "pool": 20_000,
            "pool-500": 100_000,
            "dask": 1000,
            "ray": 2500,
            "parsl": 1500,
            "prefect": 150,
        },
    ),
    "map_each": (
        "map_futures",
        True,
        {
            "dataflow": 100_000,
            "dataflow-dask": 100_000,
            "dask": 500,
            "ray": 2500,
        },
    ),
    "submits": (
        "single_submits",
        True,
        {
            "dataflow": 100_000,
            "dataflow-dask": 100_000,
            "pool": 20_000,
            "dask": 500,
            "ray": 2500,
            "parsl": 1500,
            "prefect": 150,
        },
    ),
    "chain": (
        "chain",
        True,
        {
            "dataflow": 1000,
            "dataflow-dask": 1000,
            "pool": 1000,
            "dask": 300,
            "ray": 1000,
            "parsl": 1000,
            "prefect": 50,
        },
    ),
    "first": ("fresh_submits", False, {_ALL: 1}),
    "ten": ("fresh_submits", False, {_ALL: 10, "parsl": 0, "prefect": 0}),
    "import": ("import_time", False, {_ALL: 1}),
}
_SAME_AS_ANOTHER = {"pool-500", "pool-map"}
"""Peers that differ from another in the map alone."""


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """What this peer does in a round; `scale` multiplies the numbers of warm elements."""
    works = []
    for name, (case, is_warm, sizes) in _CASES.items():
        n = sizes.get(peer.key, 0 if peer.key in _SAME_AS_ANOTHER else sizes.get(_ALL, 0))
        if n:
            scaled = max(1, round(n * scale)) if is_warm else n
            works.append(Work(name, case, scaled, is_warm))
    return works
