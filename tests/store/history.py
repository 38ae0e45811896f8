"""A long history, made in a moment: what it costs to list the runs of a store that has millions.

``python -m tests.store.history --elements 10000000`` says how long the questions take; the suite
looks at a short one.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataflow.model.states import StateCode
from dataflow.store.run_store import RunStore, open_store
from tests.store.samples import (
    T0,
    fresh_run_id,
    map_batch,
    node_record,
    run_record,
    run_state,
    run_timing_record,
)

SECOND = 10**9


def write_history(store: RunStore, elements: int, runs: int, batch: int = 1000) -> None:
    """Runs of one map each, a second apart; every hundredth one failed."""
    each = -(-elements // runs)
    sample = map_batch("", 1, 0, [StateCode.COMPLETED] * batch)
    for number in range(runs):
        run_id, at = fresh_run_id(), T0 + number * SECOND
        code = StateCode.FAILED if number % 100 == 99 else StateCode.COMPLETED
        store.write(
            [
                run_record(run_id, name=f"run-{number}", created_ns=at, flow_name=f"f{number % 7}"),
                run_state(run_id, StateCode.RUNNING, at),
                node_record(run_id, 1, length=each),
                *(_part(sample, run_id, start, each) for start in range(0, each, batch)),
                run_timing_record(run_id, ended_ns=at, tasks=(("clean", each, each),)),
                run_state(run_id, code, at + SECOND),
            ]
        )


def _part(sample: Any, run_id: str, start: int, stop: int) -> Any:
    if start + sample.count <= stop:
        return replace(sample, run_id=run_id, start=start)
    return map_batch(run_id, 1, start, [StateCode.COMPLETED] * (stop - start))


QUESTIONS: dict[str, Callable[[RunStore], Any]] = {
    "the newest 20 runs": lambda store: store.find_runs(limit=20),
    "the newest 1000 runs": lambda store: store.find_runs(limit=1000),
    "runs that failed": lambda store: store.find_runs(state=["FAILED"], limit=20),
    "runs of a flow": lambda store: store.find_runs(flow_name="f3", limit=20),
    "runs that are no subflows": lambda store: store.find_runs(parent_run_id=None, limit=20),
    "a run by its name": lambda store: store.run("run-1"),
    "the nodes of a run": lambda store: store.nodes(store.run("run-1").run_id),
    "how long a task takes": lambda store: store.task_seconds(["clean"]),
    "what is in the store": lambda store: store.info(),
}


def main() -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--store", default="", help="path or URL; a new file by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.store or str(Path(folder) / "runs.db")
        with contextlib.closing(open_store(place)) as store:
            begun = time.perf_counter()
            write_history(store, given.elements, given.runs)
            print(f"{time.perf_counter() - begun:8.1f} s   to write it")
        with contextlib.closing(open_store(place)) as store:
            for name, ask in QUESTIONS.items():
                begun = time.perf_counter()
                ask(store)
                print(f"{(time.perf_counter() - begun) * 1000:8.1f} ms  {name}")
            print(store.info())
    return 0


if __name__ == "__main__":
    sys.exit(main())
