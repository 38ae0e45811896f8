"""Control over runs from outside: a run that goes on in another process is cancelled.

    from dataflow.control import cancel_flow_run

    cancel_flow_run("brisk-otter")

The request is a state in the store; the process that drives the run sees it within a second.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from dataflow.clock import now_ns
from dataflow.errors import InvalidTransition, RunFinishedError
from dataflow.model.records import RunStateRecord
from dataflow.model.states import StateCode
from dataflow.records import Run, get_run

__all__ = ["cancel_flow_run"]


def cancel_flow_run(wanted: str, *, store: str | Path | None = None) -> Run:
    """Have a run cancelled, with all below it; returns at once, with the run as it is then.

    A run that nobody has begun is Cancelled at once. One that is being cancelled goes on with that.

    Args:
        wanted: the run's id or name, or the beginning of its id.
        store: path or URL of the store; None: that of the settings.

    Raises:
        RunNotFound: there is none, or more than one.
        RunFinishedError: it has ended, or goes on inside a worker of another run.
    """
    run = get_run(wanted, store=store)
    state = run.state
    if state.is_final():
        raise RunFinishedError(f"{run.name} has ended: it is {state.name}.", run_id=run.id)
    if state.is_cancelling():
        return run
    code = StateCode.CANCELLING
    if run.driver is None:
        if state.is_running():
            raise _inside_worker(run)
        code = StateCode.CANCELLED
    said = f"Flow run was cancelled by process {os.getpid()} on {socket.gethostname()}."
    try:
        run.enter(RunStateRecord(run.id, code, code.state_name, said, now_ns()))
    except InvalidTransition:  # it has ended meanwhile
        run = run.refresh()
        raise RunFinishedError(
            f"{run.name} has ended: it is {run.state.name}.", run_id=run.id
        ) from None
    return run.refresh()


def _inside_worker(run: Run) -> RunFinishedError:
    parent = run.summary.parent_run_id
    return RunFinishedError(
        f"{run.name} runs inside a worker, and cannot be cancelled by itself.",
        hint=f"Cancel the run that it belongs to: dataflow runs cancel {parent}",
        run_id=run.id,
    )
