"""Many processes run flows on one store at once; then all must be in it.

``python -m benchmarks.crowd --processes 32 --elements 10000`` (``--store URL``, ``--runs N``) says
what it came to. Each process runs its flows with the inline runner, so that it does little besides
recording, and tells at the end what CPU its writer has used.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = """
import sys
from dataflow import flow, task
from benchmarks.writer_clock import writer_seconds

@task
def double(number):
    return 2 * number

@flow(task_runner="inline")
def doubles(count):
    assert sum(double.map(range(count)).result()) == count * (count - 1)

doubles.with_options(name="warm")(1)
print("ready", flush=True)
sys.stdin.readline()
before = writer_seconds()
for _ in range(int(sys.argv[2])):
    doubles(int(sys.argv[1]))
print(writer_seconds() - before)
"""


@dataclass(frozen=True)
class Outcome:
    """What a crowd came to.

    Attributes:
        problems: what processes wrote to standard error, or how they ended if not well.
        completed: runs that are in the store as completed.
        elements: completed elements in the store.
        seconds: from the start of all until the end of the last one.
        writer_seconds: CPU that all writers have used for these runs: each process has had one of a
            single element before, which opens the store.
        recording_seconds: how long the writers were busy, waiting for each other included.
    """

    problems: list[str]
    completed: int
    elements: int
    seconds: float
    writer_seconds: float
    recording_seconds: float


def run_crowd(store: str, processes: int, elements: int, runs: int = 1) -> Outcome:
    """Have so many processes run flows at the same time."""
    started = [_start(store, elements, runs) for _ in range(processes)]
    for process in started:
        process.stdout.readline()
    begun = time.perf_counter()
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    problems = []
    writers = 0.0
    for process in started:
        said, errors = process.communicate()
        if process.returncode or errors:
            problems.append(f"{process.returncode}: {errors}")
        else:
            writers += float(said)
    return _look(store, problems, time.perf_counter() - begun, writers)


def _start(store: str, elements: int, runs: int) -> Any:
    environment = {
        **os.environ,
        "DATAFLOW_STORE_URL": store,
        "DATAFLOW_LOG_LEVEL": "WARNING",
        "DATAFLOW_PROGRESS": "off",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(elements), str(runs)],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _look(place: str, problems: list[str], seconds: float, writers: float) -> Outcome:
    from dataflow.store.run_store import open_store

    with contextlib.closing(open_store(place)) as store:
        found = store.find_runs(flow_name="doubles", state=["Completed"], limit=None)
        nodes = [node for run in found for node in store.nodes(run.run_id)]
        phases = [store.phases(run.run_id) for run in found]
    elements = sum(node.counts["Completed"] for node in nodes)
    recording = sum(each.recording for each in phases if each is not None)
    return Outcome(problems, len(found), elements, seconds, writers, recording)


def main() -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--elements", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1, help="flows of each process")
    parser.add_argument("--store", default="", help="path or URL; a new file by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or str(Path(folder) / "runs.db")
        outcome = run_crowd(store, given.processes, given.elements, given.runs)
    print(outcome)
    expected = given.processes * given.runs
    return int(bool(outcome.problems) or outcome.completed < expected)


if __name__ == "__main__":
    sys.exit(main())
