"""The lines of a table of results, and what is known of each: figures, ratios, targets."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Results, Work
from benchmarks.peers import OURS, Peer

TARGETS = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True, slots=True)
class Row:
    """A measure of a piece of work, in a unit."""

    key: str
    title: str
    unit: str
    measure: str
    per_unit: float = 1.0
    """What the measure, in seconds or bytes, is multiplied by."""
    work: str = ""
    """The work that it is a measure of; empty: that of the same name."""
    is_total: bool = False
    """The figure is that of all n elements: ratios are taken only where n is the same."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one peer achieved in one row, in the row's unit."""

    n: int
    values: tuple[float, ...] = ()
    failure: str | None = None

    @property
    def median(self) -> float | None:
        """The median of all rounds; None where there was no value."""
        return median(self.values) if self.values else None


@dataclass(frozen=True, slots=True)
class Target:
    """What a row must come to: a figure in its unit, or a fraction of a peer's figure."""

    row: str
    peer: str
    at_most: float | None = None
    of: str = ""
    at_least: float | None = None

    def is_met(self, achieved: float) -> bool:
        """Whether a figure, or a fraction, is what it must be."""
        if self.at_most is not None and achieved > self.at_most:
            return False
        return self.at_least is None or achieved >= self.at_least

    def describe(self, row: Row) -> str:
        """As the table says it."""
        if self.at_most is None:
            return f"≥ {self.at_least:g} {row.unit}".rstrip()
        if self.of:
            if self.at_most > 0.5:
                return f"≤ {self.at_most:g} × {self.of}"
            return f"≤ 1/{round(1 / self.at_most):,} of {self.of}"
        return f"≤ {self.at_most:g} {row.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what came of it; None where it was not measured."""

    target: Target
    is_met: bool | None


Table = dict[str, dict[str, Figure]]
"""Figures by row and peer."""


def read_targets(path: Path = TARGETS) -> tuple[Target, ...]:
    """All targets of all suites."""
    return tuple(
        Target(row, peer, entry.get("at_most"), entry.get("of", ""), entry.get("at_least"))
        for entry in tomllib.loads(path.read_text())["target"]
        for row in entry["rows"]
        for peer in entry["peers"]
    )


def make_table(
    rows: tuple[Row, ...], plan: dict[Peer, list[Work]], results: dict[Peer, Results]
) -> Table:
    """The figures of every peer that was asked for a row; a peer with none has no entry."""
    table: Table = {row.key: {} for row in rows}
    for row in rows:
        for peer, works in plan.items():
            for work in works:
                if work.name == (row.work or row.key):
                    figure = _figure(row, work, results[peer])
                    if figure.values or figure.failure:
                        table[row.key][peer.key] = figure
    return table


def _figure(row: Row, work: Work, results: Results) -> Figure:
    failure = results.unavailable or results.failures.get(work.name)
    values = results.values.get((work.name, row.measure), [])
    return Figure(work.n, tuple(value * row.per_unit for value in values), failure)


def ratio(row: Row, figure: Figure | None, base: Figure | None) -> float | None:
    """How many times `base` a figure is; None where they cannot be compared."""
    if figure is None or base is None or figure.median is None or not base.median:
        return None
    if row.is_total and figure.n != base.n:
        return None
    return figure.median / base.median


def judge(rows: tuple[Row, ...], table: Table, targets: tuple[Target, ...]) -> list[Verdict]:
    """The targets of these rows."""
    by_key = {row.key: row for row in rows}
    return [
        Verdict(target, _is_met(by_key[target.row], table, target))
        for target in targets
        if target.row in by_key
    ]


def _is_met(row: Row, table: Table, target: Target) -> bool | None:
    figures = table[row.key]
    figure = figures.get(target.peer)
    if target.of:
        achieved = ratio(row, figure, figures.get(target.of))
    else:
        achieved = figure.median if figure else None
    return None if achieved is None else target.is_met(achieved)


def our_keys() -> tuple[str, ...]:
    """The peers that are dataflow itself: what others are compared with."""
    return tuple(peer.key for peer in OURS)


def as_dict(figure: Figure) -> dict[str, Any]:
    """For JSON."""
    found: dict[str, Any] = {"n": figure.n, "median": figure.median, "values": list(figure.values)}
    return found if figure.failure is None else {**found, "failure": figure.failure}
