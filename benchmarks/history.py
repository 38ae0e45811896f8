"""A long history, made in a moment: what it costs to ask a store that has millions of elements.

``python -m benchmarks.history --elements 10000000 --runs 10000`` (``--store URL``) says how long
the questions take, and how long runs take to be imported and removed.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataflow.model.records import BatchRecord, Record
    from dataflow.store.run_store import RunStore

BEGIN_NS = 1_700_000_000_000_000_000
SECOND_NS = 10**9
FLOWS = 7


def write_history(store: RunStore, elements: int, runs: int, batch: int = 1000) -> None:
    """Runs of one map each, a second apart; every hundredth one failed."""
    each = -(-elements // runs)
    columns = _columns(batch)
    for number in range(runs):
        store.write(list(_run(number, each, columns)))


def _run(number: int, elements: int, columns: BatchRecord) -> Iterator[Record]:
    from dataflow.ids import new_run_id
    from dataflow.model.records import NodeRecord, RunRecord, RunStateRecord, RunTimingRecord
    from dataflow.model.states import StateCode

    run_id, at = new_run_id(), BEGIN_NS + number * SECOND_NS
    last = StateCode.FAILED if number % 100 == 99 else StateCode.COMPLETED
    yield RunRecord(
        run_id,
        f"f{number % FLOWS}",
        f"run-{number}",
        '{"limit": 3}',
        ("nightly",),
        None,
        None,
        "processes",
        "1",
        at,
        42,
        "box",
        "/flows/pipeline.py",
    )
    yield RunStateRecord(run_id, StateCode.RUNNING, "Running", None, at)
    yield NodeRecord(run_id, 0, "map", "clean-0", "clean", "clean-0", elements, (), (), (), at)
    for start in range(0, elements, columns.calls):
        yield _part(columns, run_id, start, min(columns.calls, elements - start))
    phase = SECOND_NS // 10
    tasks = (("clean", elements, SECOND_NS),)
    yield RunTimingRecord(
        run_id, phase, phase, phase, phase, phase, phase, phase, at + SECOND_NS, tasks
    )
    yield RunStateRecord(run_id, last, last.state_name, None, at + SECOND_NS)


def _columns(count: int) -> BatchRecord:
    from dataflow.model.records import BatchRecord
    from dataflow.model.states import StateCode

    return BatchRecord(
        run_id="",
        stages=(0,),
        start=0,
        nodes=None,
        calls=count,
        states=bytes([StateCode.COMPLETED]) * count,
        clock_offset_ns=BEGIN_NS,
        first_started_ns=1000,
        started=None,
        ended=array("q", range(1100, 1100 + 100 * count, 100)).tobytes(),
        attempts=None,
        worker="box:7",
    )


def _part(columns: BatchRecord, run_id: str, start: int, count: int) -> BatchRecord:
    if count == columns.calls:
        return columns._replace(run_id=run_id, start=start)
    return _columns(count)._replace(run_id=run_id, start=start)


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


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--store", default="", help="path or URL; a new file by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.store or str(Path(folder) / "runs.db")
        _time_all(place, given.elements, given.runs, Path(folder) / "exported")


def _time_all(place: str, elements: int, runs: int, file: Path) -> None:
    from dataflow.store.run_store import open_store

    with contextlib.closing(open_store(place)) as store:
        _say("to write it", lambda: write_history(store, elements, runs))
    with contextlib.closing(open_store(place)) as store:
        for name, ask in QUESTIONS.items():
            _say(name, partial(ask, store))
        with file.open("wb") as target:
            _say("to export all", lambda: store.export_to(target))
        _say("to remove all", lambda: store.prune(datetime.now(UTC)))
        with file.open("rb") as source:
            _say("to import all", lambda: store.import_from(source))
        print(store.info())


def _say(what: str, act: Callable[[], Any]) -> None:
    begun = time.perf_counter()
    act()
    print(f"{(time.perf_counter() - begun) * 1000:10.1f} ms  {what}", flush=True)


if __name__ == "__main__":
    main()
