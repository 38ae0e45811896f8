"""The suite `values`: what it costs that a large value passes from task to task."""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Large values: 100 MB from task to task"
WORKERS = 2
ROUNDS = 5

_BYTES = 100_000_000
_PEERS = {"dataflow", "dataflow-dask", "dask"}
_VARIANTS = {
    "numpy-chain": ("numpy", "chain of 8 changes of an array"),
    "numpy-fan_in": ("numpy", "8 arrays into one sum"),
    "pandas-chain": ("pandas", "chain of 8 changes of a DataFrame"),
    "pandas-fan_in": ("pandas", "8 DataFrames into one sum"),
    "arrow-chain": ("pyarrow", "chain of 8 changes of an Arrow table"),
    "arrow-fan_in": ("pyarrow", "8 Arrow tables into one sum"),
}


def _rows(variant: str, title: str) -> tuple[Row, ...]:
    key = variant.replace("-", "_")
    return (
        Row(f"{key}_seconds", title, "s", "seconds", work=variant, is_total=True),
        Row(
            f"{key}_ratio", f"{title}, over a copy of what is read", "×", "over_copy", work=variant
        ),
        Row(f"{key}_alone", f"{title}, over the same calls here", "×", "over_alone", work=variant),
        Row(
            f"{key}_through_flow",
            f"{title}, bytes through the flow's process",
            "MB",
            "through_flow",
            1e-6,
            work=variant,
        ),
    )


ROWS: tuple[Row, ...] = tuple(
    row for variant, (_, title) in _VARIANTS.items() for row in _rows(variant, title)
)

NOTES: tuple[str, ...] = (
    "n is the bytes of one value. A chain is a task that makes a value, 8 that return a copy of "
    "what they get, with one number changed, and one that sums it; into one sum go 8 values of as "
    "many tasks. The best of 4 times: workers have imported what they need and touched the memory; "
    "the sum is checked.",
    "over a copy of what is read: the seconds ÷ the time that `numpy.copy` of as many such arrays "
    "takes in the same process, at best, as the tasks are given: 9 in a chain, 8 in a sum. To make "
    "8 values and to sum them is more than that already.",
    "over the same calls here: the seconds ÷ the time of the same calls, one after another, in the "
    "flow's process, at best: what the runtime adds to a chain.",
    "through the flow's process: what dataflow counts itself: on processes all bytes of its lines "
    "to the workers, both ways, on Dask the values that came; the sum is among them. Raw Dask "
    "futures count nothing.",
    "Kinds whose library is not installed are left out.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """All kinds whose library is installed."""
    if peer.key not in _PEERS:
        return []
    n = 8 * max(1, round(_BYTES / 8 * scale))
    return [
        Work(variant, "large_values", n, True, variant)
        for variant, (library, _) in _VARIANTS.items()
        if find_spec(library) is not None
    ]
