"""``dataflow runs resume`` of a paused run: it goes on where it waits, with what is put in."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from dataflow.cli import FAILED
from dataflow.cli.complaints import Misuse, complain
from dataflow.control import resume_flow_run
from dataflow.model.states import StateCode
from dataflow.records import Run

_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.1


def resume_paused(wanted: str, given: str | None) -> int:
    """Resume a paused run and see what it says to that; the exit status."""
    run = resume_flow_run(wanted, parse_input(given))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while run.state.code is StateCode.RESUMING and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        run = run.refresh()
    if run.state.code is StateCode.PAUSED:
        complain(Misuse(f"{run.name} was not resumed. {run.state.message}"))
        return FAILED
    click.echo(_told(run))
    return 0


def parse_input(given: str | None) -> Any:
    """What was given with ``--input``.

    Raises:
        Misuse: it is no JSON.
    """
    if given is None:
        return None
    try:
        return json.loads(given)
    except ValueError as error:
        raise Misuse(
            f"--input is no JSON: {error}.", hint="Quote it: --input '{\"x\": 1}'"
        ) from None


def _told(run: Run) -> str:
    return f"{run.name} is {run.state.name}."
