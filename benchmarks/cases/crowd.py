"""32 processes, each with a flow of one map, write to one SQLite store at the same time."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.crowd import run_crowd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False

PROCESSES = 32


def run(rival: Rival, n: int) -> dict[str, float]:
    """`n` is the elements of each process."""
    store = Path(os.environ["DATAFLOW_HOME"]) / "crowd.db"
    outcome = run_crowd(str(store), PROCESSES, n)
    assert outcome.problems == [], outcome.problems[0]
    assert outcome.completed == PROCESSES, f"{outcome.completed} runs completed"
    assert outcome.elements == PROCESSES * n, f"{outcome.elements} elements completed"
    return {
        "seconds": outcome.seconds,
        "writer_seconds_each": outcome.writer_seconds / outcome.elements,
    }
