"""What runs here and now: ``runtime.flow_run``, ``runtime.task_run``, ``runtime.deployment``.

Their attributes are None outside a run; no attribute ever raises for being asked at the wrong time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dataflow.clock import datetime_of
from dataflow.ids import task_run_id
from dataflow.model.batches import RunInfo
from dataflow.worker.call_context import CallContext, current_call, current_scope


def _run() -> RunInfo | None:
    call = current_call.get()
    if call is not None:
        return call.run
    scope = current_scope.get()
    return scope.info if scope is not None else None


class FlowRunFacts:
    """The flow run that is going on."""

    @property
    def id(self) -> str | None:
        """Its id."""
        run = _run()
        return run.run_id if run else None

    @property
    def name(self) -> str | None:
        """Its name."""
        run = _run()
        return run.name if run else None

    @property
    def flow_name(self) -> str | None:
        """The name of its flow."""
        run = _run()
        return run.flow_name if run else None

    @property
    def parameters(self) -> dict[str, Any] | None:
        """What its flow was called with."""
        run = _run()
        return dict(run.parameters) if run else None

    @property
    def tags(self) -> list[str] | None:
        """Its tags."""
        run = _run()
        return list(run.tags) if run else None

    @property
    def run_count(self) -> int | None:
        """1 for the first attempt."""
        run = _run()
        return run.run_count if run else None

    @property
    def parent_flow_run_id(self) -> str | None:
        """The run that it is a subflow of."""
        run = _run()
        return run.parent_run_id if run else None

    @property
    def scheduled_start_time(self) -> datetime | None:
        """When it was to begin (without a schedule: when it was called)."""
        run = _run()
        return datetime_of(run.scheduled_ns) if run else None


def _call() -> CallContext | None:
    return current_call.get()


class TaskRunFacts:
    """The task run that is going on."""

    @property
    def id(self) -> str | None:
        """Its id."""
        call = _call()
        if call is None:
            return None
        place = call.place
        return task_run_id(call.run.run_id, place.node, place.index or 0)

    @property
    def name(self) -> str | None:
        """Its name."""
        call = _call()
        return call.task_run_name if call else None

    @property
    def task_name(self) -> str | None:
        """The name of its task."""
        call = _call()
        return call.place.task.name if call else None

    @property
    def parameters(self) -> dict[str, Any] | None:
        """What its task was called with."""
        call = _call()
        return call.bound_parameters() if call else None

    @property
    def tags(self) -> list[str] | None:
        """The tags of its task."""
        call = _call()
        return list(getattr(call.place.task, "tags", ())) if call else None

    @property
    def run_count(self) -> int | None:
        """1 for the first attempt."""
        call = _call()
        return call.attempt if call else None

    @property
    def map_index(self) -> int | None:
        """Which element of a map it is; None if it is none."""
        call = _call()
        return call.place.index if call else None


class DeploymentFacts:
    """The deployment that the flow run was started from."""

    @property
    def id(self) -> str | None:
        """Its id."""
        found: str | None = self._get("id")
        return found

    @property
    def name(self) -> str | None:
        """Its name."""
        found: str | None = self._get("name")
        return found

    @property
    def parameters(self) -> dict[str, Any] | None:
        """Its parameters."""
        found: dict[str, Any] | None = self._get("parameters")
        return found

    @staticmethod
    def _get(name: str) -> Any:
        run = _run()
        return (run.deployment or {}).get(name) if run else None


flow_run = FlowRunFacts()
task_run = TaskRunFacts()
deployment = DeploymentFacts()
