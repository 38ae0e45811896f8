"""Hooks of flow runs: called by the thread of the flow, right after the state was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from dataflow.execution.hooks.calling import hooks_for
from dataflow.execution.hooks.due import call_in_turn, due_record
from dataflow.execution.hooks.flow_run_info import FlowRunInfo
from dataflow.execution.hooks.left import LeftHooks
from dataflow.execution.scope import RunScope
from dataflow.model.batches import RunInfo
from dataflow.model.records import THE_RUN, DueHooksRecord, RunStateRecord
from dataflow.model.states import State, StateCode


class _Due(NamedTuple):
    record: DueHooksRecord
    hooks: list[Callable[..., Any]]
    state: State[Any]


class FlowHooks:
    """The hooks of one run of a flow."""

    def __init__(self, flow: Any) -> None:
        self._flow = flow
        self._left: list[LeftHooks] = []
        self._due: list[_Due] = []

    def states(self) -> tuple[int, ...]:
        """The states that there are any for."""
        return tuple(code for code in StateCode if hooks_for(self._flow, code))

    def due_at_start(
        self, info: RunInfo, before: Iterable[RunStateRecord], left: Iterable[LeftHooks]
    ) -> list[DueHooksRecord]:
        """They are to be called as the run begins, for the states before that too if it goes on.

        Args:
            info: the run.
            before: the states that it enters before it is running.
            left: those that an earlier process has left.
        """
        self._left.extend(left)
        due = [
            record
            for each in before
            for record in self.due(info.run_id, _state_of(each), each.run_count)
        ]
        return due + self.due(info.run_id, State.of_code(StateCode.RUNNING), info.run_count)

    def due(self, run_id: str, state: State[Any], run_count: int) -> list[DueHooksRecord]:
        """They are to be called for a state of an attempt; what is recorded with the state."""
        hooks = hooks_for(self._flow, state.code)
        if not hooks:
            return []
        record = due_record(run_id, THE_RUN, None, state.code, run_count)
        self._due.append(_Due(record, hooks, state))
        return [record]

    def call(self, scope: RunScope) -> None:
        """Call those that are due: the states have been recorded.

        Raises:
            BaseException: a signal that arrived in one of them, when the others have been called.
        """
        left, self._left = self._left, []
        due, self._due = self._due, []
        if not (left or due):
            return
        writer, watch = scope.loop.writer, scope.loop.watch
        try:
            if watch is not None:  # so that signs of life are given meanwhile, also after the end
                watch.attend(scope.info.run_id)
                writer.write([], [])
            for one in left:
                one.call(self._flow, scope.info, scope.say)
            for each in due:
                self._call(each, scope)
        finally:
            if watch is not None and scope.graph.closed:
                watch.leave(scope.info.run_id)
            writer.write_now([])  # what they logged is there when the flow returns

    def _call(self, due: _Due, scope: RunScope) -> None:
        info = replace(scope.info, run_count=due.record.attempt)
        given = self._flow, FlowRunInfo(info, due.state), due.state
        call_in_turn(due.record, due.hooks, scope.loop.writer.store, lambda _: given, scope.say)


def _state_of(record: RunStateRecord) -> State[Any]:
    return State.of_code(StateCode(record.code), name=record.name, message=record.message)
