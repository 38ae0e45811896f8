"""``dataflow runs logs``: what a run logged, or goes on logging."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from dataflow.cli.complaints import Misuse
from dataflow.cli.output import echo_json
from dataflow.logs import line_text
from dataflow.records import LogEntry, Run, get_run

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_ELEMENT = re.compile(r"(.+)\[(\d+)\]")
_POLL_SECONDS = 0.3


@click.command("logs")
@click.argument("run")
@click.option("--task", metavar="NAME", help="Only this task, node, or element: clean-0[5].")
@click.option(
    "--level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    help="Only lines of this level and above.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the first ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow an object a line.")
def show_logs(
    run: str, task: str | None, level: str | None, follow: bool, limit: int | None, as_json: bool
) -> None:
    """Print what a run logged."""
    found = get_run(run)
    chosen = _choose(found, task) if task else None
    if follow:
        for entry in _follow(found, chosen, level):
            click.echo(json.dumps(_as_dict(entry)) if as_json else _line(entry))
        return
    entries = _entries(found, chosen, level, limit)
    if as_json:
        echo_json([_as_dict(entry) for entry in entries])
        return
    for entry in entries:
        click.echo(_line(entry))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The nodes, and perhaps the element, whose lines are wanted."""

    nodes: frozenset[int]
    index: int | None

    def has(self, entry: LogEntry) -> bool:
        return entry.node in self.nodes and self.index in (None, entry.index)


def _choose(run: Run, wanted: str) -> _Chosen:
    nodes = run.nodes()
    for name, index in _readings(wanted):
        for column in ("name", "key", "task_name"):
            found = frozenset(each.node for each in nodes if getattr(each, column) == name)
            if found:
                return _Chosen(found, index)
    known = ", ".join(dict.fromkeys(each.task_name for each in nodes)) or "none"
    raise Misuse(f"{run.name} has no task {wanted!r}.", hint=f"Its tasks: {known}.")


def _readings(wanted: str) -> Iterator[tuple[str, int | None]]:
    yield wanted, None
    match = _ELEMENT.fullmatch(wanted)
    if match is not None:
        yield match[1], int(match[2])


def _entries(
    run: Run, chosen: _Chosen | None, level: str | None, limit: int | None
) -> list[LogEntry]:
    if chosen is None:
        return run.logs(level=level, limit=limit)
    if len(chosen.nodes) == 1:
        return run.logs(next(iter(chosen.nodes)), chosen.index, level=level, limit=limit)
    return [entry for entry in run.logs(level=level) if chosen.has(entry)][:limit]


def _follow(run: Run, chosen: _Chosen | None, level: str | None) -> Iterator[LogEntry]:
    last = 0
    while True:
        is_over = run.refresh().state.code.is_ended  # before reading: lines come before the end
        entries = run.logs(level=level, after=last)
        for entry in entries:
            last = entry.id
            if chosen is None or chosen.has(entry):
                yield entry
        if is_over:
            return
        sys.stdout.flush()
        time.sleep(_POLL_SECONDS)


def _line(entry: LogEntry) -> str:
    return line_text(entry, sys.stdout.isatty())


def _as_dict(entry: LogEntry) -> dict[str, Any]:
    return {
        "timestamp": entry.timestamp.isoformat(),
        "level": entry.level_name,
        "message": entry.message,
        "task_run": entry.task_run_name if entry.node is not None else None,
        "node": entry.node,
        "index": entry.index,
        "attempt": entry.attempt,
        "logger": entry.logger,
    }
