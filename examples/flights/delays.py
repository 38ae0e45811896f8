"""Delay statistics: plain functions from frames to frames, which know nothing of flows.

Each partition becomes *tallies*: a table of sums for each dimension. Sums of whole numbers can be
added in any order, so the tables do not depend on how the flights were partitioned or who did it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

DIMENSIONS: dict[str, list[str]] = {
    "carrier": ["carrier"],
    "month": ["month"],
    "origin": ["origin"],
    "destination": ["dest"],
    "carrier_month": ["carrier", "month"],
    "origin_hour": ["origin", "hour"],
    "visibility": ["visibility"],
    "rain": ["rain"],
    "wind": ["wind"],
    "plane_size": ["plane_size"],
    "plane_age": ["plane_age"],
}
MEASURES = ["flights", "departed", "departure_minutes", "late", "arrived", "arrival_minutes"]
LATE_MINUTES = 15  # what airlines and authorities call late

Tallies = dict[str, pd.DataFrame]


def clean(flights: pd.DataFrame) -> pd.DataFrame:
    """What is counted of each flight, as whole numbers; a cancelled flight has no delay."""
    departure, arrival = flights["dep_delay"], flights["arr_delay"]
    return flights.assign(
        flights=1,
        departed=departure.notna().astype("int64"),
        departure_minutes=departure.fillna(0).astype("int64"),
        late=(departure > LATE_MINUTES).fillna(False).astype("int64"),
        arrived=arrival.notna().astype("int64"),
        arrival_minutes=arrival.fillna(0).astype("int64"),
    )


def join(flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """The flights with the weather at their departure and with their planes, where known."""
    with_weather = flights.merge(weather, how="left", on=["origin", "time_hour"], validate="m:1")
    return with_weather.merge(planes, how="left", on="tailnum", validate="m:1")


def tally(flights: pd.DataFrame) -> Tallies:
    """The sums over each group of flights, by dimension."""
    return {
        dimension: flights.groupby(columns, observed=True)[MEASURES].sum()
        for dimension, columns in DIMENSIONS.items()
    }


def merge_tallies(dimension: str, parts: Iterable[Tallies]) -> pd.DataFrame:
    """One table of all the partitions' sums, with the means that follow from them."""
    sums = pd.concat([part[dimension] for part in parts])
    levels = list(range(sums.index.nlevels))
    return with_means(sums.groupby(level=levels, observed=True).sum())


def with_means(sums: pd.DataFrame) -> pd.DataFrame:
    """The sums, with mean delays in minutes, and the shares of flights late and cancelled."""
    return sums.assign(
        departure_delay=sums["departure_minutes"] / sums["departed"],
        arrival_delay=sums["arrival_minutes"] / sums["arrived"],
        late_share=sums["late"] / sums["departed"],
        cancelled_share=1 - sums["departed"] / sums["flights"],
    )


def total(tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """The sums and means over all flights."""
    sums = tables["month"][MEASURES].sum().to_frame().T
    return with_means(sums).iloc[0]
