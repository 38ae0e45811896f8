"""The runs that are open in this process, and how one of them is cancelled from outside its body.

Everything below a run goes with it: subflows in its body, in its threads and on its event loop.
"""

from __future__ import annotations

from typing import Any

from dataflow.execution.interruptions import RunCancelled
from dataflow.model.states import StateCode

open_runs: dict[str, Any] = {}
"""Scopes (``execution.scope.RunScope``) by the id of their run."""


def runs_under(run_id: str) -> list[Any]:
    """The run, if it is open here, and all open ones that are below it."""
    return [scope for scope in list(open_runs.values()) if _is_under(scope, run_id)]


def _is_under(scope: Any, run_id: str) -> bool:
    while scope is not None:
        if scope.info.run_id == run_id:
            return True
        scope = scope.parent
    return False


def cancel_run(run_id: str, message: str | None) -> None:
    """End the tasks of a run and of all below it, and interrupt their bodies; returns at once.

    Does nothing for what is not open here, or is being cancelled.
    """
    cancellation = RunCancelled(run_id, message or "Flow run was cancelled.")
    for scope in mark_cancelled(run_id, cancellation):
        scope.body.interrupt(cancellation)


def mark_cancelled(run_id: str, cancellation: RunCancelled) -> list[Any]:
    """The same without the bodies: end the tasks. Takes no lock, as a signal's handler must not.

    Returns:
        Those runs among them that were not being cancelled: their bodies are to be interrupted.
    """
    marked = []
    for scope in runs_under(run_id):
        if scope.cancellation is None:
            scope.cancellation = cancellation
            scope.loop.cancel(scope.graph, int(StateCode.CANCELLED))
            marked.append(scope)
    return marked


def resume_run(run_id: str, put_in: str | None) -> None:
    """Have a run that is paused here go on, with what was put in."""
    scope = open_runs.get(run_id)
    if scope is not None and scope.resumed is not None:
        scope.put_in = put_in
        scope.resumed.set()
