"""The suites: each module has TITLE, WORKERS, ROUNDS, ROWS, NOTES and ``plan_work(peer, scale)``.

The keys of rows are unique among all suites, so that a target needs no more than a row's name.
"""

from __future__ import annotations

from typing import Protocol

from benchmarks.harness import Work
from benchmarks.peers import Peer
from benchmarks.rows import Row
from benchmarks.suites import (
    clusters,
    durability,
    graphs,
    overhead,
    patterns,
    requests,
    scale,
    simulate,
    uneven,
    values,
)


class Suite(Protocol):
    """What a suite's module has."""

    TITLE: str
    WORKERS: int
    """Of each peer, unless the command line says otherwise; 0: it has none."""
    ROUNDS: int
    """Measurements of each, unless the command line says otherwise."""
    ROWS: tuple[Row, ...]
    NOTES: tuple[str, ...]

    def plan_work(self, peer: Peer, scale: float) -> list[Work]:
        """What a peer does in a round; `scale` multiplies the numbers of elements."""


SUITES: dict[str, Suite] = {
    "overhead": overhead,
    "patterns": patterns,
    "uneven": uneven,
    "scale": scale,
    "values": values,
    "graphs": graphs,
    "requests": requests,
    "durability": durability,
    "clusters": clusters,
    "simulate": simulate,
}
"""In the order in which they are run and reported."""
