"""The pipeline: list the partitions, tally each of them, put the tallies together, draw and report.

The frames are read once, in the flow's process, and handed to every element as ``unmapped``: a
worker gets them once, whatever the number of partitions. Which partitions there are is known only
when the flights have been read: the map over them gets its length while the flow runs.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dataflow import Parameter, flow, get_run_logger, task, unmapped
from examples.flights.delays import DIMENSIONS, Tallies, clean, join, merge_tallies, tally
from examples.flights.picture import draw_delays
from examples.flights.published import check_figures
from examples.flights.report import report_text
from examples.flights.source import (
    Partition,
    list_partitions,
    read_flights,
    read_names,
    read_planes,
    read_weather,
)

ALL_MONTHS = list(range(1, 13))


@task
def load_flights(months: list[int]) -> pd.DataFrame:
    """Read the flights of some months."""
    flights = read_flights(months)
    get_run_logger().info("%s flights read", f"{len(flights):,}")
    return flights


@task
def find_partitions(flights: pd.DataFrame) -> list[Partition]:
    """Find out which carriers flew in which months."""
    return list_partitions(flights)


@task(task_run_name="tally {partition}")
def tally_partition(
    partition: Partition, flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame
) -> Tallies:
    """Clean the flights of a partition, join weather and planes, and add up their delays."""
    part = flights.iloc[partition.start : partition.stop]
    return tally(join(clean(part), weather, planes))


@task(task_run_name="merge {dimension}")
def merge(dimension: str, parts: list[Tallies]) -> pd.DataFrame:
    """One table of one dimension from all partitions."""
    return merge_tallies(dimension, parts)


@task
def check(tables: dict[str, pd.DataFrame], months: list[int]) -> int:
    """Compare the tables with what was published about these flights."""
    return check_figures(tables, months)


@task
def draw(tables: dict[str, pd.DataFrame], names: dict[str, str], path: Path) -> Path:
    """Draw the picture."""
    return draw_delays(tables, names, path)


@flow(name="flights")
def flights(
    months: list[int] = Parameter(ALL_MONTHS, description="the months to look at, 1 to 12"),
    output: Path = Parameter(Path("examples/flights/output"), description="where files go"),
) -> str:
    """Delays of the flights that left New York in 2013."""
    frame = load_flights.submit(months)
    partitions = find_partitions.submit(frame)
    tallies = tally_partition.map(
        partitions,
        flights=unmapped(frame),
        weather=unmapped(read_weather()),
        planes=unmapped(read_planes()),
    )
    merged = merge.map(list(DIMENSIONS), parts=unmapped(tallies))
    tables = dict(zip(DIMENSIONS, merged.result(), strict=True))
    figures = check.submit(tables, months)
    names = read_names()
    picture = None
    if set(months) == set(ALL_MONTHS):
        picture = draw.submit(tables, names, output / "delays.png").result()
    return report_text(tables, names, len(tallies), figures.result(), picture)
