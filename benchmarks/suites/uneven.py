"""The suite `uneven`: how well work is shared out when nobody knows how long elements take."""

from __future__ import annotations

from benchmarks.durations import KINDS
from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Uneven durations: makespan over the ideal"
WORKERS = 2
ROUNDS = 5

_ELEMENTS = 1000
_PEERS = {"dataflow", "dataflow-dask", "dask", "pool-map"}
_TITLES = {
    "constant": "all the same",
    "lognormal": "lognormal, s = 1.5",
    "rare": "1 % take 100 times as long",
    "ascending": "lognormal, the longest last",
    "descending": "lognormal, the longest first",
}

_MEANS = {"1": 2000, "20": 500}
"""Elements by their mean in milliseconds, beside the 5 that all kinds have."""

ROWS: tuple[Row, ...] = (
    *(Row(f"uneven_{kind}", _TITLES[kind], "×", "over_ideal") for kind in KINDS),
    *(
        Row(f"uneven_lognormal_{mean}ms", f"lognormal, {mean} ms on average", "×", "over_ideal")
        for mean in _MEANS
    ),
)

NOTES: tuple[str, ...] = (
    "One map of tasks that sleep, 5 ms each on average where nothing else is said; workers are "
    "warm, but the task is unknown to the runtime: each kind has a process, and a store, of its "
    "own.",
    "Each task returns the seconds that it really took; the ideal is their sum ÷ workers, or the "
    "longest of them, whichever is more.",
    "Dask: `Client.map` and `gather`. multiprocessing: `Pool.map` with its default chunks.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """All kinds, each in a fresh process."""
    if peer.key not in _PEERS:
        return []
    usual = _scaled(_ELEMENTS, scale)
    return [
        *(Work(f"uneven_{kind}", "makespan", usual, False, kind) for kind in KINDS),
        *(
            Work(
                f"uneven_lognormal_{mean}ms",
                "makespan",
                _scaled(n, scale),
                False,
                f"lognormal:{mean}",
            )
            for mean, n in _MEANS.items()
        ),
    ]


def _scaled(n: int, scale: float) -> int:
    return max(100, round(n * scale))
