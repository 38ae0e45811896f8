"""What must be true after a round, whatever was killed; each check says what is wrong."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataflow import records
from dataflow.model.states import SUCCESSFUL
from dataflow.store.batch_columns import read_calls
from dataflow.store.named_sql import load_statements
from dataflow.store.run_keys import run_key
from tests.chaos.flows import FLAKY_RETRIES, undisturbed

_ENDED_WITHOUT_PROCESS = ("Crashed", "Completed", "Failed")


def missing_announcements(folder: Path, store: Path) -> Iterator[str]:
    """No state that was seen may be missing from the store."""
    for line in _lines(folder / "announced"):
        task_run_id, _, name = line.partition(" ")
        run_id, node, index = task_run_id.rsplit(".", 2)
        run = records.get_run(run_id, store=store)
        recorded = run.element(int(node), int(index)).state.name
        if recorded != name:
            yield f"{task_run_id} was announced {name}; the store has {recorded}"


def repeated_completions(store: Path) -> Iterator[str]:
    """No element may have completed twice."""
    for run in records.runs(limit=None, store=store):
        counts = Counter(_completions(store, run.id))
        for (node, index), count in counts.items():
            if count > 1:
                yield f"{run.id}.{node}.{index} has {count} recorded completions"


def _completions(store: Path, run_id: str) -> Iterator[tuple[int, int]]:
    connection = sqlite3.connect(store)
    try:
        for row in connection.execute(load_statements("sqlite")["batches"], (run_key(run_id),)):
            batch = read_calls(row)
            for position, code in enumerate(batch.states):
                if code not in SUCCESSFUL:
                    continue
                if batch.stages is None:
                    assert batch.nodes is not None
                    yield batch.nodes[position], 0
                else:
                    element, stage = divmod(position, len(batch.stages))
                    yield batch.stages[stage], batch.start + element
    finally:
        connection.close()


def wrong_outcome(outcome: dict[str, Any] | None, size: int) -> Iterator[str]:
    """Results equal those of an undisturbed run, where only workers were killed."""
    if outcome is None:
        yield "the flow's process ended without an outcome"
    elif outcome["state"] != "Completed":
        yield f"the flow ended {outcome['state']}: {outcome['message']}"
    elif outcome["result"] != undisturbed(size):
        yield "the result is not that of an undisturbed run"


def wrong_calls(folder: Path, size: int, kills: int) -> Iterator[str]:
    """Each call was made, and again only where it was retried, or a worker was killed."""
    expected = {
        f"{name}-{number}"
        for name, count in (("square", size), ("grow", size), ("flaky", size // 2))
        for number in range(count)
    }
    for name in sorted(expected):
        calls = len(_lines(folder / "calls" / name))
        retries = FLAKY_RETRIES if name.startswith("flaky") else 0
        if calls < 1:
            yield f"{name} was never called"
        elif calls > (1 + retries) * (1 + kills):
            yield f"{name} was called {calls} times, though {kills} processes were killed"


def unended_runs(store: Path) -> Iterator[str]:
    """A run whose process is gone is seen to be so by whoever looks."""
    for run in records.runs(limit=None, store=store):
        if run.state.name not in _ENDED_WITHOUT_PROCESS:
            yield f"{run.id} is {run.state.name}, though its process is gone"


def _lines(place: Path) -> list[str]:
    return place.read_text().splitlines() if place.exists() else []
