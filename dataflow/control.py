"""Control over runs: those that go on elsewhere are cancelled, or wait for somebody.

    from dataflow.control import cancel_flow_run, pause_flow_run, resume_flow_run, suspend_flow_run

    cancel_flow_run("brisk-otter")

The request is a state in the store; the process that drives the run sees it within a second.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from dataflow.errors import InvalidTransition, NotPausedError, RunFinishedError
from dataflow.execution.control.pausing import Pause
from dataflow.execution.control.run_input import as_json
from dataflow.execution.control.suspending import Suspension
from dataflow.model.states import StateCode
from dataflow.records import Run, get_run

__all__ = ["cancel_flow_run", "pause_flow_run", "resume_flow_run", "suspend_flow_run"]


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
    said = f"Flow run was cancelled by process {os.getpid()} on {socket.gethostname()}."
    if run.driver is None:
        if state.is_running():
            raise _inside_worker(run)
        is_so = run.cancel_undriven(said)  # else somebody was faster
        return run.refresh() if is_so else cancel_flow_run(run.id, store=store)
    try:
        run.enter(StateCode.CANCELLING, said)
    except InvalidTransition:  # it has ended meanwhile
        run = run.refresh()
        raise RunFinishedError(
            f"{run.name} has ended: it is {run.state.name}.", run_id=run.id
        ) from None
    return run.refresh()


def pause_flow_run(wait_for_input: Any = None, timeout: float = 3600.0) -> Any:
    """Wait, in the body of a flow, until somebody resumes the run; in ``async`` code to be awaited.

    Its tasks go on meanwhile, and its process stays.

    Args:
        wait_for_input: a pydantic model, or another type, that who resumes it has to put in.
        timeout: seconds that it may take.

    Returns:
        What was put in.

    Raises:
        MissingContextError: this is not called in the body of a flow.
        DefinitionError: what is given cannot be.
        FlowPauseTimeout: nobody has resumed it in time.
    """
    pause = Pause(wait_for_input, timeout)
    from dataflow.worker.async_calls import is_in_async_code

    return pause.wait_async() if is_in_async_code() else pause.wait()


def suspend_flow_run(wait_for_input: Any = None, timeout: float = 3600.0) -> Any:
    """End the process of a run, in the body of its flow, until somebody resumes the run.

    What was submitted before is waited for. Then the run is Suspended: the call of the flow ends
    with that state. When the run is resumed, with ``dataflow runs resume`` or ``flow.resume``, its
    body runs again from the beginning; what had finished and was persisted is not done again, and
    this returns. In ``async`` code it is to be awaited.

    Args:
        wait_for_input: a pydantic model, or another type, that who resumes it has to put in.
        timeout: seconds that it may take.

    Returns:
        What was put in.

    Raises:
        MissingContextError: this is not called in the body of a flow, or in a subflow's.
        ResumeError: the run could not go on later, because its results are not kept.
        DefinitionError: what is given cannot be.
        FlowPauseTimeout: it was resumed too late.
    """
    suspension = Suspension(wait_for_input, timeout)
    from dataflow.worker.async_calls import is_in_async_code

    return suspension.made_async() if is_in_async_code() else suspension.made()


def resume_flow_run(wanted: str, run_input: Any = None, *, store: str | Path | None = None) -> Run:
    """Have a paused run go on; returns at once, with the run as it is then.

    Args:
        wanted: the run's id or name, or the beginning of its id.
        run_input: what is put in, if it asks for that: a model, or what becomes JSON.
        store: path or URL of the store; None: that of the settings.

    Raises:
        RunNotFound: there is none, or more than one.
        NotPausedError: it is not paused.
    """
    run = get_run(wanted, store=store)
    is_so = run.resume_paused(as_json(run_input))
    run = run.refresh()
    if is_so:
        return run
    if run.state.code is StateCode.SUSPENDED:
        raise NotPausedError(
            f"{run.name} is Suspended: it has no process that could go on.",
            hint=f"Give it one: dataflow runs resume {run.name}, or flow.resume(...).",
            run_id=run.id,
        )
    raise NotPausedError(f"{run.name} is not paused: it is {run.state.name}.", run_id=run.id)


def _inside_worker(run: Run) -> RunFinishedError:
    parent = run.summary.parent_run_id
    return RunFinishedError(
        f"{run.name} runs inside a worker, and cannot be cancelled by itself.",
        hint=f"Cancel the run that it belongs to: dataflow runs cancel {parent}",
        run_id=run.id,
    )
