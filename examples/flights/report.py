"""What was found, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from examples.flights.delays import total

_RULE = "─" * 78


def report_text(
    tables: Mapping[str, pd.DataFrame],
    names: Mapping[str, str],
    partitions: int,
    figures: int,
    picture: Path | None,
) -> str:
    """The report: totals, tables by carrier, airport and month, and what was checked."""
    sums = total(tables)
    lines = [
        "Flights from New York, 2013",
        _RULE,
        f"{sums['flights']:,.0f} flights in {partitions} partitions (carrier × month)",
        f"{sums['flights'] - sums['departed']:,.0f} never left; the others left "
        f"{sums['departure_delay']:.2f} minutes late and arrived {sums['arrival_delay']:.2f} "
        f"minutes late, on average",
        "",
        *_table("Airline", tables["carrier"], names),
        "",
        *_table("Airport", tables["origin"], names),
        "",
        *_table("Month", tables["month"], {}, by_size=False),
        _RULE,
        f"{figures} figures agree with those published.",
    ]
    if picture is not None:
        lines.append(f"The picture is {picture}.")
    return "\n".join(lines)


def _table(
    title: str, table: pd.DataFrame, names: Mapping[str, str], by_size: bool = True
) -> list[str]:
    if by_size:
        table = table.sort_values("flights", ascending=False)
    head = f"{title:<34}{'flights':>10}{'delay':>10}{'late':>10}{'cancelled':>13}"
    return [head] + [
        f"{names.get(str(key), str(key))[:32]:<34}{row.flights:>10,.0f}"
        f"{row.departure_delay:>9.1f}m{row.late_share:>10.1%}{row.cancelled_share:>13.1%}"
        for key, row in zip(table.index, table.itertuples(), strict=True)
    ]
