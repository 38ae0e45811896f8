"""``python -m examples.flights [--runner NAME] [--months 1,2] [--output FOLDER]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.flights.flow import ALL_MONTHS, flights


def main() -> None:
    """Run the pipeline and print its report."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description=flights.__doc__)
    parser.add_argument("--runner", help="inline, threads, processes (the default) or dask")
    parser.add_argument("--months", help="such as 1,2,12 (the default: all)")
    parser.add_argument("--output", type=Path, default=Path("examples/flights/output"))
    chosen = parser.parse_args()
    months = [int(month) for month in chosen.months.split(",")] if chosen.months else ALL_MONTHS
    print(flights.with_options(task_runner=chosen.runner)(months=months, output=chosen.output))


if __name__ == "__main__":
    main()
