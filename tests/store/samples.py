"""Records to fill stores with."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence

from dataflow.ids import new_run_id
from dataflow.model.records import (
    ArtifactRecord,
    AttemptRecord,
    BatchRecord,
    LogRecord,
    NodeRecord,
    RunRecord,
    RunStateRecord,
    RunTimingRecord,
)
from dataflow.model.states import StateCode

T0 = 1_700_000_000_000_000_000
"""When everything begins, in nanoseconds since the epoch."""
OFFSET = T0 - 1_000
"""The clock's offset: monotonic 1000 is T0."""

_run_ids: Iterator[str] = (new_run_id() for _ in itertools.count())


def fresh_run_id() -> str:
    return next(_run_ids)


def run_record(run_id: str, **changes) -> RunRecord:
    fields = {
        "flow_name": "data-pipeline",
        "name": "brisk-otter",
        "parameters_json": '{"limit": 3}',
        "tags": ("nightly", "eu"),
        "parent_run_id": None,
        "parent_node": None,
        "runner": "processes",
        "flow_version": "1",
        "created_ns": T0,
        "pid": 42,
        "host": "box",
        "code_path": "/flows/pipeline.py",
    }
    return RunRecord(run_id=run_id, **{**fields, **changes})


def run_state(run_id: str, code: StateCode, at_ns: int = T0, **changes) -> RunStateRecord:
    fields = {"name": code.state_name, "message": None, **changes}
    return RunStateRecord(run_id=run_id, code=code, timestamp_ns=at_ns, **fields)


def node_record(run_id: str, node: int, **changes) -> NodeRecord:
    fields = {
        "kind": "map",
        "key": f"clean-{node}",
        "task_name": "clean",
        "name": f"clean-{node}",
        "length": 10,
        "upstream": (),
        "order": (),
        "tags": (),
        "created_ns": T0,
    }
    return NodeRecord(run_id=run_id, node=node, **{**fields, **changes})


def map_batch(
    run_id: str,
    stages: int | tuple[int, ...],
    start: int,
    codes: Sequence[int],
    attempts: Sequence[int] | None = None,
    **changes,
) -> BatchRecord:
    """Elements of fused maps: the first call starts at T0, each takes 100 ns."""
    fields = {
        "stages": (stages,) if isinstance(stages, int) else stages,
        "start": start,
        "nodes": None,
        **_columns(codes, attempts),
    }
    return BatchRecord(run_id=run_id, **{**fields, **changes})


def call_batch(
    run_id: str,
    nodes: Sequence[int],
    codes: Sequence[int],
    attempts: Sequence[int] | None = None,
    **changes,
) -> BatchRecord:
    """Single calls: the first starts at T0, each takes 100 ns."""
    fields = {
        "stages": None,
        "start": 0,
        "nodes": array("q", nodes).tobytes(),
        **_columns(codes, attempts),
    }
    return BatchRecord(run_id=run_id, **{**fields, **changes})


def _columns(codes: Sequence[int], attempts: Sequence[int] | None) -> dict:
    return {
        "calls": len(codes),
        "states": bytes(codes),
        "clock_offset_ns": OFFSET,
        "first_started_ns": 1_000,
        "started": None,
        "ended": array("q", (1_000 + 100 * (p + 1) for p in range(len(codes)))).tobytes(),
        "attempts": None if attempts is None else bytes(attempts),
        "worker": "box:7",
    }


def attempt_record(run_id: str, node: int, index: int, **changes) -> AttemptRecord:
    code = changes.pop("code", StateCode.FAILED)
    fields = {
        "attempt": 1,
        "name": code.state_name,
        "message": "Task run encountered an exception ValueError: boom",
        "exception_type": "ValueError",
        "exception": None,
        "traceback": "Traceback: boom",
        "started_ns": T0,
        "ended_ns": T0 + 100,
        "worker": "box:7",
    }
    return AttemptRecord(run_id=run_id, node=node, index=index, code=code, **{**fields, **changes})


def log_record(run_id: str, message: str, **changes) -> LogRecord:
    fields = {
        "node": None,
        "index": None,
        "attempt": 1,
        "timestamp_ns": T0,
        "level": 20,
        "logger": "dataflow.task",
        "task_run_name": None,
        "sequence": 0,
    }
    return LogRecord(run_id=run_id, message=message, **{**fields, **changes})


def run_timing_record(run_id: str, **changes) -> RunTimingRecord:
    """Each phase a second longer than the one before it."""
    names = "tracing planning dispatch queue compute transfer recording".split()
    fields = {f"{name}_ns": number * 10**9 for number, name in enumerate(names, 1)}
    return RunTimingRecord(run_id=run_id, **{**fields, **changes})


def artifact_record(number: int, **changes) -> ArtifactRecord:
    fields = {
        "artifact_id": f"{number:032x}",
        "key": "report",
        "type": "markdown",
        "description": "what it is",
        "data_json": f'"text {number}"',
        "run_id": None,
        "node": None,
        "index": None,
        "attempt": 1,
        "created_ns": T0 + number,
    }
    return ArtifactRecord(**{**fields, **changes})
