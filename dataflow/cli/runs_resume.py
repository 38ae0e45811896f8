"""``dataflow runs resume``: a run goes on where it stopped, or where it waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dataflow.cli import FAILED, MISUSE
from dataflow.cli.complaints import Misuse
from dataflow.cli.flow_files import split_target
from dataflow.cli.output import echo_json
from dataflow.cli.run import outcome_of, prepare_flow, prints_on_stderr, run_and_tell
from dataflow.cli.runs_resume_paused import parse_input, resume_paused
from dataflow.execution.control.run_input import DOES_NOT_FIT
from dataflow.flows import Flow
from dataflow.model.states import StateCode
from dataflow.records import Run, get_run


@click.command("resume")
@click.argument("run")
@click.option("--flow", "target", metavar="FILE.py:FLOW", help="Where its flow is now.")
@click.option("--runner", help="Who runs the tasks: inline, threads, processes, dask.")
@click.option("--reuse-changed", is_flag=True, help="Reuse results of tasks whose code changed.")
@click.option("--input", "given", metavar="JSON", help="What a run asks for that waits.")
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
def resume_run(
    run: str,
    target: str | None,
    runner: str | None,
    reuse_changed: bool,
    given: str | None,
    as_json: bool,
) -> int:
    """Let a run go on that has stopped, or that waits for somebody.

    The flow's body runs again with the same parameters; what had finished and was persisted
    (persist_result=True) is not done again.

    A paused run goes on in its process, with what is put in, a suspended one in this process; if
    that does not fit, it stays paused or suspended.
    """
    found = get_run(run)
    is_suspended = found.state.code is StateCode.SUSPENDED
    if not is_suspended and (given is not None or (found.state.is_paused() and found.driver)):
        return resume_paused(found.id, given)
    put_in = parse_input(given)
    with prints_on_stderr(as_json):
        flow = _flow_of(found, target, runner)
        if flow is None:
            return MISUSE
        status, run_id, state = run_and_tell(
            lambda: flow.resume(
                found.id, run_input=put_in, reuse_changed=reuse_changed, return_state=True
            )
        )
    if as_json:
        echo_json(outcome_of(run_id, state))
    is_refused = state is not None and (state.message or "").startswith(DOES_NOT_FIT)
    return FAILED if is_refused else status


def _flow_of(run: Run, target: str | None, runner: str | None) -> Flow[Any, Any] | None:
    """The flow of a run; None if its file does not load, which has been told.

    Raises:
        Misuse: it is not where it was, or not where it is said to be.
    """
    if target is None:
        place, name = run.summary.code_path, None
        if place is None or not Path(place).exists():
            where = f"was {place}, which is not there any more" if place else "is not known"
            raise Misuse(
                f"The file of the flow {run.flow_name!r} of run {run.name!r} {where}.",
                hint="Say where the flow is now: --flow FILE.py:NAME.",
            )
    else:
        place, name = split_target(target)
    try:
        return prepare_flow(f"{place}:{name or run.flow_name}", runner)
    except Misuse as error:
        if name is not None:
            raise
        raise Misuse(
            f"The flow {run.flow_name!r} of run {run.name!r} was not found. {error.message}",
            hint=f"{error.hint or ''} Say where it is now (--flow FILE.py:NAME), or keep its name: "
            f"@flow(name={run.flow_name!r}).".strip(),
        ) from error
