"""The suite `patterns`: how short tasks may be, by the shape of their dependencies."""

from __future__ import annotations

from benchmarks.harness import Work
from benchmarks.patterns import PATTERNS, WIDTH
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Patterns: METG(50 %) of Task Bench"
WORKERS = 2
ROUNDS = 5

_STEPS = 30
_MAPPED = {
    "dataflow": 20_000,
    "dataflow-dask": 20_000,
    "pool": 20_000,
    "pool-500": 20_000,
    "dask": 1000,
}
_GRAPHS = {"dataflow", "dataflow-dask", "dask"}

ROWS: tuple[Row, ...] = (
    *(Row(f"metg_{name}", f"`{name}`", "µs", "metg_seconds", 1e6) for name in PATTERNS),
    Row("metg_map", "`mapped`: one map, no dependencies", "µs", "metg_seconds", 1e6),
)

NOTES: tuple[str, ...] = (
    "METG(50 %), minimum effective task granularity: the shortest mean length of tasks with which "
    "tasks × length ÷ workers is half of the wall time. Slaughter et al., Task Bench: A "
    "Parameterized Benchmark for Evaluating Parallel Runtime Performance, SC 2020.",
    "A task is a loop of pure Python; seconds a turn are measured in the same process, best of 5. "
    "Lengths go down by factors of 1.5, best of 3 runs at each (one, if it takes more than 2 s), "
    "until the efficiency is below 50 %; the last two are interpolated logarithmically.",
    f"The grids are {WIDTH} wide and have {_STEPS} steps; `nearest` and `spread` have radix 5, "
    "`random_nearest` takes each of the 5 neighbours with probability 1/2, the same in every run.",
    "dataflow: a `submit` for each task, in a flow. Dask: the same as one graph through "
    "`client.get`, its fastest way. Both read every value back, and each is checked.",
    "mapped: the identical tasks as one `map`; its n differs where a task costs a millisecond.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """The grids, shortened in steps by `scale`, and the map, each in a process of its own."""
    works = []
    if peer.key in _GRAPHS:
        n = WIDTH * max(2, round(_STEPS * scale))
        works = [Work(f"metg_{name}", "metg_pattern", n, False, name) for name in PATTERNS]
    if peer.key in _MAPPED:
        works.append(Work("metg_map", "metg_map", max(20, round(_MAPPED[peer.key] * scale)), False))
    return works
