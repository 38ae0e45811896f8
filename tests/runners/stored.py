"""What the store has of the runs of a test."""

from __future__ import annotations

from typing import Any

from dataflow import records


def run_of(flow: Any) -> records.Run:
    """The only run of a flow in this test's store."""
    (run,) = records.runs(flow_name=flow.name)
    return run


def counts_of(flow: Any) -> dict[str, dict[str, int]]:
    """By node name, how many elements of the flow's only run are in which state."""
    return {node.name: node.counts for node in run_of(flow).nodes()}


def messages_of(run: records.Run, node: str | None = None, index: int | None = None) -> list[str]:
    """The log lines of a run's tasks in order (those of the run itself left out)."""
    return [line.message for line in run.logs(node, index) if line.node is not None]
