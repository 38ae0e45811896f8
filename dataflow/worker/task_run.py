"""A task run as hooks, conditions and names see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataflow.ids import task_run_id
from dataflow.worker.call_context import CallContext


@dataclass(slots=True)
class TaskRun:
    """One call of a task: a submit, an element of a map, or a call in place."""

    id: str
    name: str
    task_name: str
    flow_run_id: str
    map_index: int | None
    run_count: int
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    state: Any = None

    @classmethod
    def here(cls, context: CallContext) -> TaskRun:
        """The task run that ``context`` is about."""
        place = context.place
        return cls(
            id=task_run_id(context.run.run_id, place.node, place.index or 0),
            name=context.task_run_name,
            task_name=place.task.name,
            flow_run_id=context.run.run_id,
            map_index=place.index,
            run_count=context.attempt,
            tags=context.run.tags,
            parameters=context.bound_parameters(),
        )
