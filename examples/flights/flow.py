"""The pipeline: read, partition, clean, join, tally, merge, check, draw, report.

The modules beside this one are plain functions that know about flights and nothing about dataflow;
here they become tasks. The frames are read by tasks and used by tasks: they stay with the workers
and never pass through this process. Which partitions there are is known only when the flights
have been read: the maps over them get their length while the flow runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated, TypedDict

import pandas as pd
from pydantic import Field

from dataflow import Parameter, flow, get_run_logger, task, unmapped
from examples.flights import delays, published, source
from examples.flights.report import print_report

ALL_MONTHS = list(range(1, 13))
Month = Annotated[int, Field(ge=1, le=12)]


class Summary(TypedDict):
    """What a run comes to."""

    flights: int
    partitions: int
    figures_checked: int
    picture: str


read_flights = task(source.read_flights)
read_weather = task(source.read_weather)
read_planes = task(source.read_planes)
list_partitions = task(source.list_partitions)


@task(task_run_name="clean {partition}")
def clean(partition: source.Partition, flights: pd.DataFrame) -> pd.DataFrame:
    return delays.clean(flights.iloc[partition.start : partition.stop])


join = task(delays.join)
tally = task(delays.tally)
merge = task(delays.merge_tallies, task_run_name="merge {dimension}")
check_figures = task(published.check_figures)


@task(task_run_name="save {dimension}")
def save(dimension: str, table: pd.DataFrame, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dimension}.csv"
    table.round(4).to_csv(path)
    get_run_logger().debug("%s rows in %s", len(table), path)
    return path


@task
def draw(tables: dict[str, pd.DataFrame], names: dict[str, str], path: Path) -> Path:
    from examples.flights.picture import draw_delays  # only the worker that draws needs matplotlib

    return draw_delays(tables, names, path)


@flow
def flights(
    months: list[Month] = Parameter(ALL_MONTHS, description="the months to look at", min_length=1),
    output: Path = Parameter(Path("output"), description="the folder that files go to"),
) -> Summary:
    """Delays of the flights that left New York in 2013."""
    frame = read_flights.submit(months)
    partitions = list_partitions.submit(frame)
    parts = clean.map(partitions, flights=unmapped(frame))
    parts = join.map(
        parts, weather=unmapped(read_weather.submit()), planes=unmapped(read_planes.submit())
    )
    tallies = tally.map(parts)

    dimensions = list(delays.DIMENSIONS)
    merged = merge.map(dimensions, parts=unmapped(tallies))
    tables = dict(zip(dimensions, merged, strict=True))
    checked = check_figures.submit(tables, months)
    saved = save.map(dimensions, merged, folder=unmapped(output), wait_for=[checked])
    names = source.read_names()
    drawn = draw.submit(tables, names, output / "delays.png", wait_for=[checked])

    values = dict(zip(dimensions, merged.result(), strict=True))
    print_report(values, names)
    print(f"Figures that agree with those published: {checked.result()}, that do not: 0.")
    print(f"{len(saved.result())} tables and a picture are in {output}.")
    return Summary(
        flights=int(values["month"]["flights"].sum()),
        partitions=len(partitions.result()),
        figures_checked=checked.result(),
        picture=str(drawn.result()),
    )


def main() -> None:
    """Run the flow as the command line says."""
    parser = argparse.ArgumentParser(description=flights.description)
    parser.add_argument("--runner", help="inline, threads, processes (the default) or dask")
    parser.add_argument("--months", type=int, nargs="+", default=ALL_MONTHS, metavar="MONTH")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    chosen = parser.parse_args()
    flights.with_options(task_runner=chosen.runner)(months=chosen.months, output=chosen.output)


if __name__ == "__main__":
    main()
