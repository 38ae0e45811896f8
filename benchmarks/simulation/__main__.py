"""``python -m benchmarks.simulation --threads 1000 --elements 600000 --seconds 0.1``: one run."""

from __future__ import annotations

import argparse

from benchmarks.simulation.run import KINDS, simulate
from dataflow.testing import dataflow_test_harness

parser = argparse.ArgumentParser(
    prog="python -m benchmarks.simulation",
    description="A map on a large cluster, on paper: the real planner and store, simulated "
    "workers and time.",
)
parser.add_argument("--threads", type=int, default=1000, help="of the cluster (default: 1000)")
parser.add_argument("--elements", type=int, default=600_000, help="(default: 600000)")
parser.add_argument("--seconds", type=float, default=0.1, help="of an element (default: 0.1)")
parser.add_argument("--kind", choices=KINDS, default="constant", help="how they differ")
given = parser.parse_args()
with dataflow_test_harness(None, log_to_terminal=False):
    print(simulate(given.threads, given.elements, given.seconds, given.kind))
