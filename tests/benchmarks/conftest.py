"""Fixtures of the benchmarks' tests: a session with figures made up by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmarks.harness import Results
from benchmarks.machine import Machine
from benchmarks.peers import Peer, choose_peers
from benchmarks.rows import judge, make_table, read_targets
from benchmarks.session import Options, Session, make_plan
from benchmarks.suites import overhead

FIGURES = {
    "map": {"seconds_each": 3e-6, "grown_bytes": 20e6},
    "map_each": {"seconds_each": 5e-6, "grown_bytes": 50e6},
    "submits": {"seconds_each": 12e-6},
    "chain": {"seconds_each": 28e-6},
    "first": {"process_seconds": 0.4},
    "ten": {"process_seconds": 0.5},
    "import": {"seconds": 0.07},
}
SLOWER = {"dataflow": 1, "dataflow-dask": 2, "pool": 50, "pool-500": 0.25, "ray": 300}


def _results(peer: Peer) -> Results:
    if peer.key == "ray":
        return Results(unavailable="not found; `--make-environments` installs it")
    results = Results(versions={"python": "3.11.7"})
    for work, measures in FIGURES.items():
        for name, value in measures.items():
            times = value * SLOWER[peer.key]
            results.values[work, name] += [times, 3 * times, 0.5 * times]
    return results


@pytest.fixture
def session() -> Session:
    """Three rounds of dataflow and the pool; Ray was not found."""
    options = Options("overhead", ("pool", "ray"), rounds=3)
    plan = make_plan(overhead, choose_peers(["pool", "ray"]), 1.0)
    results = {peer: _results(peer) for peer in plan}
    table = make_table(overhead.ROWS, plan, results)
    when = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    machine = Machine("A CPU", 2, 23.5, "Linux 6", "3.11.7", 0.1, when, "abc1234")
    targets = tuple(target for target in read_targets() if target.row in ("import", "ten"))
    verdicts = judge(overhead.ROWS, table, targets)
    return Session(
        options,
        overhead.TITLE,
        overhead.NOTES,
        machine,
        overhead.ROWS,
        plan,
        results,
        table,
        verdicts,
    )
