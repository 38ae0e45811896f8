"""``dataflow runs ls``: which runs there were."""

from __future__ import annotations

from typing import Any

import click

from dataflow.cli.complaints import Misuse
from dataflow.cli.moments import parse_moment
from dataflow.cli.output import (
    ID_DIGITS,
    ago_text,
    echo_json,
    moment_text,
    print_table,
    run_as_dict,
    state_text,
)
from dataflow.display.quantities import duration_text
from dataflow.model.states import StateCode
from dataflow.records import Run, runs


@click.command("ls")
@click.option("--state", "states", multiple=True, help="Only runs in this state, such as failed.")
@click.option("--flow", "flow_name", help="Only runs of this flow.")
@click.option("--name", help="Only runs of this name.")
@click.option("--tag", "tags", multiple=True, help="Only runs with this tag.")
@click.option("--since", help="Only later ones: 30m, 2h, 7d, or a date and time.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most.")
@click.option("--subflows", is_flag=True, help="Runs of subflows as well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(
    states: tuple[str, ...],
    flow_name: str | None,
    name: str | None,
    tags: tuple[str, ...],
    since: str | None,
    limit: int,
    subflows: bool,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    found = runs(
        state=known_states(states) or None,
        flow_name=flow_name,
        name=name,
        tags=tags,
        started_after=parse_moment(since, "--since") if since else None,
        parent_run_id=... if subflows else None,
        limit=limit,
    )
    if as_json:
        echo_json([run_as_dict(run) for run in found])
    elif found:
        columns = ("NAME", "FLOW", "STATE", "STARTED", "", ">TOOK", "RUNNER", "ID")
        print_table(columns, [_row(run) for run in found])
    else:
        click.echo("No runs are like that." if states or flow_name or since else "No runs yet.")


def _row(run: Run) -> list[Any]:
    from rich.text import Text

    took = run.duration_seconds
    return [
        Text(run.name, "bold"),
        run.flow_name,
        state_text(run.state),
        moment_text(run.started or run.created),
        Text(ago_text(run.started or run.created), "dim"),
        "" if took is None else duration_text(took),
        Text(run.summary.runner, "dim"),
        Text(run.id[:ID_DIGITS], "dim"),
    ]


def known_states(states: tuple[str, ...]) -> list[str]:
    """State types and names as the store knows them, however they are written.

    Raises:
        Misuse: there is no such state.
    """
    known = {code.state_name.lower(): code.state_name for code in StateCode}
    types = {code.type.value.lower(): code.type.value for code in StateCode}
    found = []
    for state in states:
        plain = state.lower().replace("_", "").replace("-", "")
        name = types.get(plain) or known.get(plain)
        if name is None:
            raise Misuse(
                f"There is no state {state!r}.", hint=f"States are: {', '.join(known.values())}."
            )
        found.append(name)
    return found
