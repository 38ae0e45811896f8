"""What was found, as tables for a terminal."""

from __future__ import annotations

import calendar
from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from examples.flights.delays import total

WIDTH = 80
BUSIEST = 10
ORDERED = {"visibility": "Sight", "rain": "Rain", "wind": "Wind", "plane_size": "Plane"}


def print_report(tables: Mapping[str, pd.DataFrame], names: Mapping[str, str]) -> None:
    """Print the totals, then a table for each dimension worth reading."""
    console = Console(width=WIDTH, highlight=False)
    console.print(_headline(tables))
    for title, table in _chosen(tables, names):
        console.print(_terminal_table(title, table))
        console.print()


def _headline(tables: Mapping[str, pd.DataFrame]) -> str:
    sums = total(tables)
    partitions = len(tables["carrier_month"])
    return (
        f"[bold]Flights from New York, 2013[/bold]\n"
        f"{sums['flights']:,.0f} flights in {partitions} partitions (airline × month). "
        f"{sums['flights'] - sums['departed']:,.0f} never left;\nthe others left "
        f"{sums['departure_delay']:.2f} and arrived {sums['arrival_delay']:.2f} minutes late "
        f"on average.\n"
    )


def _chosen(
    tables: Mapping[str, pd.DataFrame], names: Mapping[str, str]
) -> list[tuple[str, pd.DataFrame]]:
    """The tables to print, with names for codes, the busiest first where there is no order."""
    named = {key: tables[key].rename(index=dict(names)) for key in ("carrier", "destination")}
    months = tables["month"].rename(index=lambda month: calendar.month_name[month])
    airports = tables["origin"].rename(index=dict(names))
    return [
        ("Airline", named["carrier"].sort_values("flights", ascending=False)),
        ("Airport", airports.sort_values("flights", ascending=False)),
        ("Month", months),
        ("Busiest destination", named["destination"].nlargest(BUSIEST, "flights")),
        *((title, tables[dimension]) for dimension, title in ORDERED.items()),
    ]


def _terminal_table(title: str, table: pd.DataFrame) -> Table:
    printed = Table(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1), header_style="bold"
    )
    printed.add_column(title, width=31, no_wrap=True)
    for heading in ("flights", "cancelled", "late", "departure", "arrival"):
        printed.add_column(heading, justify="right", min_width=6)
    for row in table.reset_index(names="label").to_dict("records"):
        printed.add_row(
            str(row["label"]),
            f"{row['flights']:,.0f}",
            f"{row['cancelled_share']:.1%}",
            f"{row['late_share']:.1%}",
            f"{row['departure_delay']:+.1f}",
            f"{row['arrival_delay']:+.1f}",
        )
    return printed
