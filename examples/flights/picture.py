"""One picture of delays: which airlines in which month, at what hour, in what weather and plane."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

INK, GREY, PALE = "#22303c", "#6b7885", "#e4e8ec"
BLUE, SAND, RED = "#2a6f97", "#f6f1e7", "#c1442d"
AIRPORTS = {"EWR": ("Newark", RED), "JFK": ("Kennedy", BLUE), "LGA": ("La Guardia", "#d69a2d")}
COLOURS = LinearSegmentedColormap.from_list("delays", [BLUE, "#a9c7d8", SAND, "#e9a98b", RED])
COLOUR_SCALE = TwoSlopeNorm(vmin=-5, vcenter=10, vmax=40)
WEATHER = {"visibility": "sight ", "rain": "", "wind": "wind "}
FEW_FLIGHTS = 20
ENOUGH_FLIGHTS = 50  # for a point on a curve


def draw_delays(tables: Mapping[str, pd.DataFrame], names: Mapping[str, str], path: Path) -> Path:
    """Draw the tables into a PNG file, and return its path.

    Args:
        tables: sums and means by dimension.
        names: those of the airlines, by code.
        path: the file; its folder is made.
    """
    figure = Figure(figsize=(15, 11.8), facecolor="white")
    upper = figure.add_gridspec(1, 1, left=0.205, right=0.975, top=0.836, bottom=0.415)
    lower = figure.add_gridspec(
        1, 3, width_ratios=[1, 0.75, 1], wspace=0.42, left=0.045, right=0.975, top=0.3, bottom=0.05
    )  # fmt: skip
    _write_title(figure, tables["month"])
    _draw_carriers(figure.add_subplot(upper[0]), tables["carrier_month"], names)
    _draw_hours(figure.add_subplot(lower[0]), tables["origin_hour"])
    _draw_weather(figure.add_subplot(lower[1]), tables)
    _draw_ages(figure.add_subplot(lower[2]), tables["plane_age"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _write_title(figure: Figure, months: pd.DataFrame) -> None:
    year = months.sum()
    delay = year["departure_minutes"] / year["departed"]
    title = "How late do planes leave New York?"
    figure.text(0.025, 0.956, title, size=24, weight="bold", color=INK)
    figure.text(
        0.025,
        0.928,
        f"{year['flights']:,.0f} flights in 2013 from Newark, Kennedy and La Guardia: {delay:.1f} "
        f"minutes late on average, {year['late'] / year['departed']:.0%} by more than 15 minutes",
        size=13.5,
        color=GREY,
    )


def _draw_carriers(axes: Axes, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    sums = table.groupby(level="carrier", observed=True).sum()
    order = (sums["departure_minutes"] / sums["departed"]).sort_values(ascending=False).index
    delays = table["departure_delay"].unstack("month").loc[order]
    flights = table["flights"].unstack("month").fillna(0).loc[order]
    is_few = (flights < FEW_FLIGHTS).to_numpy()
    axes.imshow(
        delays, cmap=COLOURS, norm=COLOUR_SCALE, aspect="auto", alpha=np.where(is_few, 0.35, 1.0)
    )
    for (row, column), delay in np.ndenumerate(delays.to_numpy(dtype=float)):
        if not np.isnan(delay):
            is_dark = not is_few[row, column] and (delay > 28 or delay < -2)
            colour = "white" if is_dark else GREY if is_few[row, column] else INK
            axes.text(column, row, _minutes(delay), ha="center", va="center", size=11, color=colour)
    for row, carrier in enumerate(order):
        count = f"{flights.loc[carrier].sum():,.0f}"
        _beside(axes, row, count)
    axes.set_yticks(range(len(order)), [names.get(str(c), str(c)) for c in order])
    axes.set_xticks(range(delays.shape[1]), [calendar.month_abbr[m] for m in delays.columns])
    axes.set_xticks(np.arange(0.5, delays.shape[1] - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(order) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=2.5)
    axes.xaxis.tick_top()
    axes.tick_params(which="both", length=0, labelsize=11, colors=INK)
    axes.tick_params(axis="y", pad=58)
    axes.spines[:].set_visible(False)
    note = f"minutes of delay at departure; pale: fewer than {FEW_FLIGHTS} flights"
    _caption(axes, "By airline and month", note, left=-0.2338, bottom=1.06)
    _beside(axes, -0.88, "flights")


def _beside(axes: Axes, row: float, text: str) -> None:
    place = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(text, (0, row), (-8, 0), ha="right", va="center", size=11, color=GREY, **place)


def _draw_hours(axes: Axes, table: pd.DataFrame) -> None:
    common = table[table["departed"] >= ENOUGH_FLIGHTS]
    for place, (origin, (name, colour)) in enumerate(AIRPORTS.items()):
        delays = common.xs(origin, level="origin")["departure_delay"]
        axes.plot(delays.index, delays, color=colour, linewidth=2.6, solid_capstyle="round")
        at = {"transform": axes.transAxes, "va": "top", "weight": "bold"}
        axes.text(0.03, 0.97 - 0.1 * place, name, size=12, color=colour, **at)
    axes.set_xticks([6, 9, 12, 15, 18, 21], ["6 am", "9 am", "noon", "3 pm", "6 pm", "9 pm"])
    axes.set_ylim(top=axes.get_ylim()[1] + 1)
    _plain(axes)
    _caption(axes, "By hour of the day", "minutes, by scheduled departure", left=-0.065)


def _draw_weather(axes: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    bars: dict[float, str] = {}
    for group, (dimension, what) in enumerate(WEATHER.items()):
        for label, delay in tables[dimension]["departure_delay"].items():
            place = len(bars) + 0.6 * group
            bars[place] = f"{what}{label}"
            axes.barh(place, delay, height=0.76, color=COLOURS(COLOUR_SCALE(delay)))
            axes.text(max(delay, 0) + 0.7, place, _minutes(delay), va="center", size=11, color=INK)
    axes.set_yticks(list(bars), list(bars.values()))
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=11, colors=INK)
    axes.spines[:].set_visible(False)
    _caption(axes, "By weather", "minutes, by the hour’s weather at the airport", left=-0.5)


def _draw_ages(axes: Axes, table: pd.DataFrame) -> None:
    common = table[table["departed"] >= table["departed"].sum() / 300]
    areas = common["departed"] / common["departed"].max() * 420
    axes.scatter(common.index, common["departure_delay"], s=areas, color=BLUE, alpha=0.8, lw=0)
    axes.set_xticks([0, 5, 10, 15, 20, 25], ["new", "5", "10", "15", "20", "25 years"])
    axes.set_ylim(0, common["departure_delay"].max() * 1.25)
    _plain(axes)
    _caption(axes, "By age of the plane", "minutes; the area is the number of flights", left=-0.065)


def _caption(axes: Axes, text: str, note: str, left: float, bottom: float = 1.04) -> None:
    """A title and a line below it, both left-aligned above the axes."""
    place = (left, bottom)
    how = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(text, place, (0, 19), size=14, weight="bold", color=INK, **how)
    axes.annotate(note, place, (0, 2), size=11, color=GREY, **how)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.grid(axis="y", color=PALE, linewidth=1)
    axes.set_axisbelow(True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(length=0, labelsize=11, colors=INK)


def _minutes(delay: float) -> str:
    return f"{round(delay)}".replace("-", "−")
