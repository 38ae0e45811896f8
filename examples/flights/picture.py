"""One picture of a year of delays: who, when in the year, when in the day, and why."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

INK, GREY, PALE = "#22303c", "#7b8794", "#e4e8ec"
BLUE, SAND, RED = "#2a6f97", "#f6f1e7", "#c1442d"
AIRPORTS = {"EWR": ("Newark", RED), "JFK": ("Kennedy", BLUE), "LGA": ("La Guardia", "#d69a2d")}
DELAYS = LinearSegmentedColormap.from_list("delays", [BLUE, "#a9c7d8", SAND, "#e9a98b", RED])
FEW_FLIGHTS = 50


def draw_delays(tables: Mapping[str, pd.DataFrame], names: Mapping[str, str], path: Path) -> Path:
    """Draw the tables into a PNG file, and return its path."""
    figure = Figure(figsize=(15, 11), facecolor="white")
    top, bottom = figure.add_gridspec(
        2, 1, height_ratios=[1.5, 1], left=0.14, right=0.97, top=0.875, bottom=0.065, hspace=0.27
    )
    below = bottom.subgridspec(1, 3, wspace=0.32)
    _title(figure, tables)
    _draw_carriers_by_month(figure.add_subplot(top), tables["carrier_month"], names)
    _draw_hours(figure.add_subplot(below[0]), tables["origin_hour"])
    _draw_weather(figure.add_subplot(below[1]), tables)
    _draw_ages(figure.add_subplot(below[2]), tables["plane_age"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    return path


def _title(figure: Figure, tables: Mapping[str, pd.DataFrame]) -> None:
    months = tables["month"]
    count, late = months["flights"].sum(), months["late"].sum() / months["departed"].sum()
    delay = months["departure_minutes"].sum() / months["departed"].sum()
    figure.text(
        0.025, 0.958, "How late do planes leave New York?", size=23, weight="bold", color=INK
    )
    figure.text(
        0.025,
        0.93,
        f"{count:,} flights in 2013 from Newark, Kennedy and La Guardia: on average {delay:.1f} "
        f"minutes late, {late:.0%} of them by more than 15 minutes",
        size=13,
        color=GREY,
    )


def _draw_carriers_by_month(axes: Axes, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    delays = table["departure_delay"].unstack("month")
    flights = table["flights"].unstack("month").fillna(0)
    order = _mean_delay(table, "carrier").sort_values(ascending=False).index
    delays, flights = delays.loc[order], flights.loc[order]
    limits = TwoSlopeNorm(vcenter=10, vmin=-5, vmax=40)
    axes.imshow(delays, cmap=DELAYS, norm=limits, aspect="auto")
    for (row, column), delay in np.ndenumerate(delays.to_numpy(dtype=float)):
        if np.isnan(delay):
            continue
        is_dark = delay > 27 or delay < -2
        few = flights.iat[row, column] < FEW_FLIGHTS
        axes.text(
            column,
            row,
            f"{delay:.0f}".replace("-", "−") if round(delay) else "0",
            ha="center",
            va="center",
            size=10,
            style="italic" if few else "normal",
            alpha=0.65 if few else 1,
            color="white" if is_dark else INK,
        )
    axes.set_xticks(range(delays.shape[1]), [calendar.month_abbr[m] for m in delays.columns])
    totals = flights.sum(axis=1)
    axes.set_yticks(
        range(len(order)), [f"{_short(names.get(c, c))}  {totals[c]:>7,.0f}" for c in order]
    )
    for edge in range(1, delays.shape[1]):
        axes.axvline(edge - 0.5, color="white", linewidth=2)
    for edge in range(1, len(order)):
        axes.axhline(edge - 0.5, color="white", linewidth=2)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=11, colors=INK)
    axes.spines[:].set_visible(False)
    _caption(
        axes,
        "Mean departure delay in minutes, by airline (with its number of flights) and month",
        note=f"italics: fewer than {FEW_FLIGHTS} flights",
        height=1.075,
    )


def _draw_hours(axes: Axes, table: pd.DataFrame) -> None:
    common = table[table["departed"] >= FEW_FLIGHTS]
    for origin, (name, colour) in AIRPORTS.items():
        delays = common.loc[origin]["departure_delay"]
        axes.plot(delays.index, delays, color=colour, linewidth=2.4, solid_capstyle="round")
        axes.annotate(
            name,
            (delays.idxmax(), delays.max()),
            xytext=(-6, 4),
            textcoords="offset points",
            ha="right",
            size=11,
            weight="bold",
            color=colour,
        )
    axes.set_xticks([6, 9, 12, 15, 18, 21], ["6 am", "9", "noon", "3 pm", "6", "9"])
    _plain(axes)
    _caption(axes, "Delays add up during the day", note="minutes, by scheduled hour")


def _draw_weather(axes: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    labels: list[str] = []
    place = 0.0
    places: list[float] = []
    for dimension, title in {"visibility": "sight ", "rain": "", "wind": "wind "}.items():
        delays = tables[dimension]["departure_delay"].sort_values()
        for label, delay in delays.items():
            axes.barh(place, delay, height=0.74, color=DELAYS(TwoSlopeNorm(10, -5, 40)(delay)))
            axes.text(delay + 0.7, place, f"{delay:.0f}", va="center", size=11, color=INK)
            labels.append(f"{title}{label}")
            places.append(place)
            place += 1
        place += 0.6
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=11, colors=INK)
    axes.spines[:].set_visible(False)
    _caption(axes, "Bad weather costs half an hour", note="minutes, by the weather at departure")


def _draw_ages(axes: Axes, table: pd.DataFrame) -> None:
    common = table[table["departed"] >= 20 * FEW_FLIGHTS]
    delays = common["departure_delay"]
    axes.scatter(delays.index, delays, s=common["departed"] / 60, color=BLUE, alpha=0.75, lw=0)
    axes.set_xticks([0, 5, 10, 15, 20, 25], ["new", "5", "10", "15", "20", "25 years"])
    _plain(axes)
    axes.set_ylim(0, 20)
    _caption(axes, "Old planes are not the late ones", note="minutes, by age; area: flights")


def _mean_delay(table: pd.DataFrame, level: str) -> pd.Series:
    sums = table.groupby(level=level, observed=True)[["departure_minutes", "departed"]].sum()
    return sums["departure_minutes"] / sums["departed"]


def _caption(axes: Axes, text: str, note: str, height: float = 1.1) -> None:
    place = {"transform": axes.transAxes, "va": "bottom"}
    axes.text(0, height, text, size=13, weight="bold", color=INK, **place)
    axes.text(0, height - 0.065, note, size=10.5, color=GREY, **place)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.grid(axis="y", color=PALE, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=11, colors=INK)


def _short(name: str) -> str:
    for word in (" Inc.", " Co.", " Corporation", " Airways", " Airlines", " Air Lines"):
        name = name.replace(word, "")
    return name
