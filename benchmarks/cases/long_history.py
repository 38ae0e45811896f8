"""A store of very many elements lists its runs."""

from __future__ import annotations

import contextlib
import os
from statistics import median
from time import perf_counter

from benchmarks.history import write_history
from benchmarks.postgres import fresh_database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False

RUN_ELEMENTS = 10_000
TRIES = 5


def run(rival: Rival, n: int, database: str) -> dict[str, float]:
    """`n` is the elements; `database` is `sqlite` or `postgres`."""
    if database == "postgres":
        with fresh_database() as url:
            return _measure(url, n)
    return _measure(f"{os.environ['DATAFLOW_HOME']}/history.db", n)


def _measure(place: str, n: int) -> dict[str, float]:
    """Each time on a new connection: the first in a process is the one that users wait for."""
    from dataflow.store.run_store import open_store

    runs = max(1, n // RUN_ELEMENTS)
    with contextlib.closing(open_store(place)) as store:
        started = perf_counter()
        write_history(store, n, runs)
        written = perf_counter() - started
    seconds = [_seconds_to_list(place, runs) for _ in range(TRIES)]
    return {"first_seconds": seconds[0], "seconds": median(seconds), "written_seconds": written}


def _seconds_to_list(place: str, runs: int) -> float:
    from dataflow.store.run_store import open_store

    started = perf_counter()
    with contextlib.closing(open_store(place)) as store:
        found = store.find_runs()
        seconds = perf_counter() - started
    newest = [f"run-{number}" for number in reversed(range(runs))][: len(found)]
    assert [run.name for run in found] == newest, "other runs were listed"
    return seconds
