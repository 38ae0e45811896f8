"""What is known about this data set, from its documentation and from books that use it.

Sources: the reference of the R package nycflights13; Wickham and Grolemund, "R for Data Science"
(the chapters on transforming data and on joins).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pandas as pd

CARRIERS = {
    "9E": 18_460, "AA": 32_729, "AS": 714, "B6": 54_635, "DL": 48_110, "EV": 54_173,
    "F9": 685, "FL": 3_260, "HA": 342, "MQ": 26_397, "OO": 32, "UA": 58_665,
    "US": 20_536, "VX": 5_162, "WN": 12_275, "YV": 601,
}  # fmt: skip
MONTHS = {
    1: 27_004, 2: 24_951, 3: 28_834, 4: 28_330, 5: 28_796, 6: 28_243,
    7: 29_425, 8: 29_327, 9: 27_574, 10: 28_889, 11: 27_268, 12: 28_135,
}  # fmt: skip
ORIGINS = {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}
DESTINATIONS = {"ORD": 17_283, "ATL": 17_215, "LAX": 16_174, "BOS": 15_508, "MCO": 14_082}
TOTALS = {
    "flights": 336_776,
    "without a departure": 8_255,
    "without an arrival delay": 9_430,
    "without weather": 1_556,
    "without a known plane": 52_606,
    "mean departure delay": 12.64,
    "mean arrival delay": 6.90,
}


class FiguresDiffer(ValueError):
    """What was computed is not what was published: the data or the pipeline is wrong."""


def check_figures(tables: Mapping[str, pd.DataFrame], months: Collection[int]) -> int:
    """Compare the tables with the published figures, those that there are for these months.

    Returns:
        How many figures were compared.

    Raises:
        FiguresDiffer: with every figure that differs.
    """
    compared = list(_figures(tables, months))
    wrong = [f"{what}: {found} (published: {known})" for what, known, found in compared
             if found != known]  # fmt: skip
    if wrong:
        raise FiguresDiffer("; ".join(wrong))
    return len(compared)


def _figures(
    tables: Mapping[str, pd.DataFrame], months: Collection[int]
) -> Iterator[tuple[str, float, float]]:
    """Each published figure with what was found: ``(what, published, found)``."""
    yield from _counts("month", {month: MONTHS[month] for month in sorted(months)}, tables)
    if set(months) < set(MONTHS):
        return
    yield from _counts("carrier", CARRIERS, tables)
    yield from _counts("origin", ORIGINS, tables)
    yield from _counts("destination", DESTINATIONS, tables)
    for what, found in _totals(tables).items():
        yield what, TOTALS[what], found


def _counts(
    dimension: str, known: Mapping[int, int] | Mapping[str, int], tables: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, float, float]]:
    found = tables[dimension]["flights"].to_dict()
    for key, count in known.items():
        yield f"flights of {dimension} {key}", count, int(found.get(key, 0))


def _totals(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    year = tables["month"].sum()
    flights = int(year["flights"])
    return {
        "flights": flights,
        "without a departure": flights - int(year["departed"]),
        "without an arrival delay": flights - int(year["arrived"]),
        "without weather": flights - int(tables["visibility"]["flights"].sum()),
        "without a known plane": flights - int(tables["plane_size"]["flights"].sum()),
        "mean departure delay": round(float(year["departure_minutes"] / year["departed"]), 2),
        "mean arrival delay": round(float(year["arrival_minutes"] / year["arrived"]), 2),
    }
