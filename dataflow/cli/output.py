"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from dataflow.model.states import State
    from dataflow.records import Run

ID_DIGITS = 14
"""The first 12 digits of an id are its millisecond."""
_COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CRASHED": "bright_red",
    "CANCELLED": "yellow",
    "CANCELLING": "yellow",
    "RUNNING": "cyan",
    "PENDING": "yellow",
    "SCHEDULED": "blue",
    "PAUSED": "magenta",
}


def echo_json(data: Any) -> None:
    """Print data as JSON; what JSON does not know is printed as text."""
    click.echo(json.dumps(data, indent=2, default=_jsonable, ensure_ascii=False))


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    return repr(value) if not hasattr(value, "isoformat") else value.isoformat()


def run_as_dict(run: Run) -> dict[str, Any]:
    """A run as JSON has it."""
    return {
        "id": run.id,
        "name": run.name,
        "flow": run.flow_name,
        "state": state_as_dict(run.state),
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "duration_seconds": run.duration_seconds,
        "runner": run.summary.runner,
        "parameters": run.parameters,
        "tags": list(run.tags),
        "parent_run_id": run.summary.parent_run_id,
        "run_count": run.summary.run_count,
        "flow_version": run.summary.flow_version,
        "code_path": run.summary.code_path,
        "host": run.summary.host,
        "pid": run.summary.pid,
    }


def state_as_dict(state: State[Any]) -> dict[str, Any]:
    """A state as JSON has it."""
    return {"type": state.type.value, "name": state.name, "message": state.message}


def console() -> Console:
    """Standard output for rich; where it is no terminal, lines are as long as they need to be."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    return Console(width=width, highlight=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; columns whose title begins with ``>`` are aligned to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in columns:
        right = title.startswith(">")
        table.add_column(title.lstrip(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def print_rich(*what: RenderableType) -> None:
    """Print without blanks at the ends of lines, which only wrap."""
    out = console()
    with out.capture() as capture:
        for each in what:
            out.print(each, soft_wrap=False)
    click.echo("\n".join(_without_tail(line) for line in capture.get().splitlines()), color=None)


def _without_tail(line: str) -> str:
    return line.rstrip(" ")


def state_text(state: State[Any]) -> Text:
    """The name of a state in its colour."""
    from rich.text import Text

    return Text(state.name, _COLOURS.get(state.type.value, ""))


def moment_text(moment: datetime | None) -> str:
    """A moment in local time; today's without the date."""
    if moment is None:
        return ""
    local = moment.astimezone()
    if local.date() == datetime.now().astimezone().date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%Y-%m-%d %H:%M:%S")


def ago_text(moment: datetime | None) -> str:
    """How long ago that was, in one unit."""
    if moment is None:
        return ""
    seconds = max(time.time() - moment.astimezone(UTC).timestamp(), 0.0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"
