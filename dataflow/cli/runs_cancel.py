"""``dataflow runs cancel``: have runs that go on elsewhere cancelled."""

from __future__ import annotations

import time

import click

from dataflow.cli import FAILED
from dataflow.cli.complaints import complain
from dataflow.control import cancel_flow_run
from dataflow.errors import RunFinishedError
from dataflow.records import Run

_POLL_SECONDS = 0.1


@click.command("cancel")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
def cancel_runs(runs: tuple[str, ...], wait: bool) -> int:
    """Have runs cancelled: their tasks are ended, and the subflows below them.

    The process of a run sees the request within a second. Exits with 1 if a run had ended before.
    """
    cancelled, status = [], 0
    for wanted in runs:
        try:
            run = cancel_flow_run(wanted)
        except RunFinishedError as error:
            complain(error)
            status = FAILED
            continue
        cancelled.append(run)
        click.echo(f"{run.name} is {run.state.name}.")
    if wait:
        for run in cancelled:
            _wait(run)
    return status


def _wait(run: Run) -> None:
    while not run.state.is_final():
        time.sleep(_POLL_SECONDS)
        run = run.refresh()
    click.echo(f"{run.name} is {run.state.name}.")
