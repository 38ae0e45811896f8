"""A flow run as its hooks, and whoever asks for the context, see it."""

from __future__ import annotations

from typing import Any

from dataflow.model.batches import RunInfo
from dataflow.model.states import State


class FlowRunInfo:
    """A flow run as hooks see it."""

    def __init__(self, info: RunInfo, state: State[Any] | None = None) -> None:
        self.id = info.run_id
        self.name = info.name
        self.flow_name = info.flow_name
        self.parameters = info.parameters
        self.tags = info.tags
        self.run_count = info.run_count
        self.parent_flow_run_id = info.parent_run_id
        self.state = state
