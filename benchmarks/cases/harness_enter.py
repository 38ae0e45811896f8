"""Entering `dataflow_test_harness`: the first time in a process, and after that."""

from __future__ import annotations

from statistics import median
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False


def run(rival: Rival, n: int) -> dict[str, float]:
    """`n` is how often it is entered; a flow runs in it each time."""
    rival.load()
    from dataflow import flow
    from dataflow.testing import dataflow_test_harness

    @flow
    def answer() -> int:
        return 42

    seconds = []
    for _ in range(n):
        started = perf_counter()
        with dataflow_test_harness() as harness:
            seconds.append(perf_counter() - started)
            assert answer() == 42
            assert len(harness.runs()) == 1, "the harness had other runs"
    return {"first_seconds": seconds[0], "seconds": median(seconds)}
