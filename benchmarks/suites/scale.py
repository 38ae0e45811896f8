"""The suite `scale`: whether an element of a map of a million costs more than one of a few."""

from __future__ import annotations

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Scale: maps of a million elements that do nothing"
WORKERS = 2
ROUNDS = 5

ROWS: tuple[Row, ...] = (
    Row("scale_few", "map of n ÷ 100, per element", "µs", "few_seconds_each", 1e6, work="growth"),
    Row("scale_many", "map of n, per element", "µs", "many_seconds_each", 1e6, work="growth"),
    Row("scale_ratio", "the second over the first", "×", "ratio", work="growth"),
    Row("stages_each", "map over map over map, per element", "µs", "seconds_each", 1e6, "stages"),
    Row("stages_ratio", "the same over a single map", "×", "ratio", work="stages"),
    Row(
        "scale_memory",
        "memory added by the map to the flow's process",
        "MB",
        "flow_bytes",
        1e-6,
        work="memory_growth",
        is_total=True,
    ),
    Row(
        "scale_scheduler",
        "the same to the scheduler's process",
        "MB",
        "scheduler_bytes",
        1e-6,
        work="memory_growth",
        is_total=True,
    ),
    Row("scale_first", "first result of the map", "ms", "first_seconds", 1e3, "calls", True),
    Row("trace_submit", "a call of `submit`", "µs", "seconds_each", 1e6, "submit_calls"),
    *(
        Row(f"{key}{suffix}", f"{which} call of a map of {length}", "µs", measure, 1e6, work, True)
        for key, which, measure in (
            ("trace_map", "a flow's first", "call_seconds"),
            ("trace_next_map", "a flow's next", "next_call_seconds"),
        )
        for suffix, length, work in (
            ("_10", "10", "calls_10"),
            ("_100k", "100,000", "calls_100k"),
            ("", "n", "calls"),
        )
    ),
    Row(
        "fairness",
        "a branch of 5 × 10 ms beside the map, over the same branch alone",
        "×",
        "ratio",
        work="fairness",
    ),
)

NOTES: tuple[str, ...] = (
    "Workers are warm; every value is read back and checked, and so are dataflow's records of "
    "every element. n is in the tables of the rows: a million takes raw Dask futures half an hour.",
    "The map of n ÷ 100 is the median of 5. First result, calls and the branch are medians of 3 "
    "within the process; seconds begin with the call of `map`, those of the branch after it.",
    "Map over map over map: n is 100,000; medians of 7, in turn with a single map of as many.",
    "memory: peak resident memory over what was in use before, the list of values included. The "
    "scheduler of raw Dask futures is in the measured process; dataflow hosts it in another.",
    "A call of `submit`: of 4,000 in a row, which is before the run loop begins with them and "
    "shares the interpreter; a run of 100,000 is in the suite `overhead`.",
    "A flow's first call of a map is the first thing that it does: the processor's caches hold "
    "what was read of the last flow. The next call follows at once. Ten short maps come before, as "
    "the first calls of a process cost twice as much.",
    "The calls of raw Dask futures are those of `Client.map` and `Client.submit`.",
)

_GROWTH = {"dataflow": 1_000_000, "dataflow-dask": 1_000_000, "pool-500": 1_000_000, "dask": 10_000}
_LONG = {"dataflow": 1_000_000, "dataflow-dask": 1_000_000, "dask": 5000}
_CASES: dict[str, tuple[str, dict[str, int]]] = {
    "growth": ("map_growth", _GROWTH),
    "stages": ("map_stages", {"dataflow": 100_000, "dataflow-dask": 100_000, "dask": 1000}),
    "memory_growth": ("map_memory", {**_LONG, "dask": 20_000}),
    "calls_10": ("map_call", {"dataflow": 10, "dataflow-dask": 10, "dask": 10}),
    "calls_100k": ("map_call", {"dataflow": 100_000, "dataflow-dask": 100_000}),
    "calls": ("map_call", _LONG),
    "submit_calls": (
        "submit_calls",
        {"dataflow": 4000, "dataflow-dask": 4000, "dask": 1000},
    ),
    "fairness": ("fairness", _LONG),
}
_FEWEST = 10


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """Each in a process of its own: what one leaves behind would be in the next one's memory."""
    return [
        Work(name, case, max(_FEWEST, round(sizes[peer.key] * scale)), False)
        for name, (case, sizes) in _CASES.items()
        if peer.key in sizes
    ]
