"""The suite `simulate`: maps on clusters far larger than this machine, on paper."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row

TITLE = "Simulated clusters: maps on 1,000, 10,000 and 100,000 threads"
WORKERS = 0
ROUNDS = 1

_PEER = "dataflow-dask"
_KINDS = {"constant": "all the same", "lognormal": "lognormal", "ascending": "longest last"}

_MEASURES = {
    "over_ideal": ("makespan over the ideal", "×", 1.0),
    "client_share": ("the client's processor time, of a core", "%", 100.0),
    "client_bytes": ("the client's memory", "MB", 1e-6),
    "messages_a_second": ("messages of the scheduler, a second", "", 1.0),
}
"""What is said of each case: its title, its unit, and what the measure is multiplied by."""


@dataclass(frozen=True, slots=True)
class Case:
    """A map of n elements that take so long, on so many threads."""

    threads: int
    n: int
    milliseconds: int
    kind: str

    @property
    def key(self) -> str:
        """The name of its work, with which the keys of its rows begin."""
        return f"sim_{self.threads}_{self.milliseconds}ms_{self.kind}"

    @property
    def title(self) -> str:
        """What its rows begin with."""
        short = self.milliseconds < 1000
        length = f"{self.milliseconds} ms" if short else f"{self.milliseconds // 1000} s"
        return f"{self.threads:,} threads, {self.n:,} × {length}, {_KINDS[self.kind]}"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Its rows in the table."""
        return tuple(
            Row(f"{self.key}_{measure}", f"{self.title}: {what}", unit, measure, factor, self.key)
            for measure, (what, unit, factor) in _MEASURES.items()
        )

    def work(self, scale: float) -> Work:
        """What is measured; the threads stay as many, so that each has less to do at a scale."""
        n = max(100, round(self.n * scale))
        variant = f"{self.threads}:{self.milliseconds / 1000}:{self.kind}"
        return Work(self.key, "simulated_map", n, False, variant)


CASES: tuple[Case, ...] = (
    Case(1000, 10_000_000, 1, "constant"),
    Case(1000, 10_000_000, 10, "constant"),
    Case(1000, 10_000_000, 10, "lognormal"),
    Case(1000, 600_000, 100, "constant"),
    Case(1000, 600_000, 100, "lognormal"),
    Case(1000, 600_000, 100, "ascending"),
    Case(1000, 10_000, 10_000, "constant"),
    Case(1000, 10_000, 10_000, "lognormal"),
    Case(10_000, 10_000_000, 10, "constant"),
    Case(10_000, 6_000_000, 100, "constant"),
    Case(10_000, 10_000_000, 100, "lognormal"),
    Case(10_000, 10_000_000, 100, "ascending"),
    Case(10_000, 600_000, 1000, "constant"),
    Case(10_000, 600_000, 1000, "lognormal"),
    Case(10_000, 100_000, 10_000, "constant"),
    Case(10_000, 100_000, 10_000, "lognormal"),
    Case(100_000, 10_000_000, 1000, "constant"),
)

ROWS: tuple[Row, ...] = tuple(row for case in CASES for row in case.rows)

NOTES: tuple[str, ...] = (
    "Real, and measured: a flow with its trace, planner, run loop, record writer and SQLite store, "
    "which is asked at the end whether every element is in it. What they need of the processor "
    "passes on the simulated clock before anything else happens in the flow's process.",
    "Simulated: the clock, the threads, the tasks, which only take their time, and Dask. Its costs "
    "are figures of two cores over loopback, not of this session: the client sends every 10 ms, "
    "the scheduler every 5, workers every 2; a batch costs the scheduler 54 µs, and the client's "
    "own Dask 100 µs and 500 more a message. No network is too slow, and nothing dies.",
    "The ideal: each thread takes the next element when it is free, at no cost. Where elements are "
    "uneven, another order may be better. Lognormal: s = 1.5; longest last: the same, sorted.",
    "The client's processor time is that measured and that of Dask's costs. Its memory is all that "
    "was resident at the peak, the simulated cluster included; values are small integers, which "
    "stay there. Messages: those that the scheduler gets and sends, what goes together once.",
    "Nothing but its memory is asked of the client where a thread has less than 60 s of work, and "
    "nothing at all on 100,000 threads.",
)


def plan_work(peer: Peer, scale: float) -> list[Work]:
    """All cases, once; each in a fresh process. The elements are drawn by numpy."""
    if peer.key != _PEER or find_spec("numpy") is None:
        return []
    return [case.work(scale) for case in CASES]
