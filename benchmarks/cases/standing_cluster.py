"""A cluster that stays: how long its start takes, and what a run on it adds to a process."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False

NAME = "standing"
PROGRAM = """
import sys
from time import perf_counter
from dataflow import flow, task

@task
def increment(x):
    return x + 1

@flow(task_runner=sys.argv[1])
def work():
    return increment.submit(1).result()

started = perf_counter()
assert work() == 2
print(perf_counter() - started)
"""


def run(rival: Rival, n: int) -> dict[str, float]:
    """`n` is how many runs are measured, of one submit each, after a first one."""
    rival.load()
    from cluster import standing
    from cluster.spec import ClusterSpec

    started = perf_counter()
    record, _ = standing.start(NAME, ClusterSpec("local", name=NAME, workers=rival.workers))
    start_seconds = perf_counter() - started
    try:
        _run_on("threads"), _run_on(f"dask:{NAME}")
        found = [(_run_on("threads"), _run_on(f"dask:{NAME}")) for _ in range(n)]
    finally:
        standing.stop(record)
    return {
        "start_seconds": start_seconds,
        "flow_seconds": median(there[1] for _, there in found),
        "added_seconds": median(there[0] for _, there in found)
        - median(here[0] for here, _ in found),
    }


def _run_on(runner: str) -> tuple[float, float]:
    """The seconds of a fresh process, and of the flow in it."""
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, runner], check=True, capture_output=True, text=True
    )
    return perf_counter() - started, float(done.stdout.splitlines()[-1])
