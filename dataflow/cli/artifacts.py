"""``dataflow artifacts``: what runs have shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dataflow.cli.output import ago_text, echo_json, moment_text, print_table
from dataflow.errors import ArtifactNotFound
from dataflow.records import ArtifactSummary, artifacts, delete_artifacts, get_artifact

_MOST_TEXT = 60


@click.command("ls")
@click.option("--key", help="Only versions of this key.")
@click.option("--type", "kind", help="Only these: markdown, table, link, progress or image.")
@click.option("--run", metavar="RUN", help="Only those of a run: its name, id, or its beginning.")
@click.option("--all", "every", is_flag=True, help="All versions, not only the last of each key.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_artifacts(
    key: str | None, kind: str | None, run: str | None, every: bool, limit: int, as_json: bool
) -> None:
    """List artifacts, newest first; of each key the last version."""
    latest = not (every or key or run)
    found = artifacts(key, type=kind, run=run, latest=latest, limit=limit)
    if as_json:
        echo_json([_as_dict(each) for each in found])
    elif found:
        columns = ("KEY", ">VERSION", "TYPE", "UPDATED", "", "DESCRIPTION", "ID")
        print_table(columns, [_row(each) for each in found])
    else:
        click.echo("No artifacts are like that." if key or kind or run else "No artifacts yet.")


@click.command("show")
@click.argument("artifact")
@click.option("--version", "number", type=click.IntRange(1), help="Another version than the last.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all that is known of it.")
def show_artifact(artifact: str, number: int | None, as_json: bool) -> None:
    """Print an artifact; ARTIFACT is its key or its id."""
    found = get_artifact(artifact, version=number)
    if as_json:
        echo_json(_as_dict(found))
    elif found.type == "table":
        _print_rows(found.data)
    elif found.type == "progress":
        about = f"  {found.description}" if found.description else ""
        click.echo(f"{found.data:g} %{about}")
    else:
        click.echo(found.data)


@click.command("rm")
@click.argument("artifact")
def remove_artifact(artifact: str) -> None:
    """Delete an artifact: all versions of a key, or the one with an id."""
    count = delete_artifacts(artifact)
    if not count:
        raise ArtifactNotFound(
            f"There is no artifact with the key or id {artifact!r}.",
            hint="`dataflow artifacts ls` lists them.",
        )
    click.echo(f"Deleted {count} {'version' if count == 1 else 'versions'} of {artifact}.")


def _row(artifact: ArtifactSummary) -> list[Any]:
    from rich.text import Text

    about = artifact.description or ""
    return [
        Text(artifact.key or "", "bold"),
        str(artifact.version) if artifact.key else "",
        artifact.type,
        moment_text(artifact.updated),
        Text(ago_text(artifact.updated), "dim"),
        about if len(about) <= _MOST_TEXT else about[: _MOST_TEXT - 1] + "…",
        Text(artifact.id, "dim"),
    ]


def _as_dict(artifact: ArtifactSummary) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "key": artifact.key,
        "version": artifact.version,
        "type": artifact.type,
        "description": artifact.description,
        "data": artifact.data,
        "created": artifact.created,
        "updated": artifact.updated,
        "run_id": artifact.run_id,
        "node": artifact.node,
        "index": artifact.index,
        "attempt": artifact.attempt,
    }


def _print_rows(table: Any) -> None:
    """Print a table, whichever of its three forms it has."""
    if isinstance(table, Mapping):
        names = list(table)
        rows = [list(row) for row in zip(*table.values(), strict=False)]
    elif table and isinstance(table[0], Mapping):
        names = list(dict.fromkeys(name for row in table for name in row))
        rows = [[row.get(name) for name in names] for row in table]
    else:
        names = [""] * max(map(len, table), default=0)
        rows = table
    print_table(names, [["" if each is None else str(each) for each in row] for row in rows])
