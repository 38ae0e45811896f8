"""``dataflow variables``: values that programs share by name."""

from __future__ import annotations

import json
from typing import Any

import click

from dataflow.cli.output import ago_text, echo_json, moment_text, print_table
from dataflow.errors import VariableNotFound
from dataflow.records import VariableSummary, variables
from dataflow.variables import Variable

_MOST_TEXT = 60


@click.command("ls")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_variables(tags: tuple[str, ...], as_json: bool) -> None:
    """List variables by name."""
    found = variables(tags=tags)
    if as_json:
        echo_json([_as_dict(each) for each in found])
    elif found:
        print_table(("NAME", "VALUE", "TAGS", "UPDATED", ""), [_row(each) for each in found])
    else:
        click.echo("No variables are like that." if tags else "No variables yet.")


@click.command("get")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print text as JSON, too.")
def get_variable(name: str, as_json: bool) -> None:
    """Print what a variable is set to: text as it is, all else as JSON."""
    missing = object()
    value = Variable.get(name, missing)
    if value is missing:
        raise _not_found(name)
    click.echo(value if isinstance(value, str) and not as_json else _json(value))


@click.command("set")
@click.argument("name")
@click.argument("value")
@click.option("--tag", "tags", multiple=True, help="A word to find it by.")
@click.option("--overwrite", is_flag=True, help="Change it if it is there.")
def set_variable(name: str, value: str, tags: tuple[str, ...], overwrite: bool) -> None:
    """Set a variable. VALUE is JSON; what is no JSON is text."""
    Variable.set(name, _parsed(value), tags=tags, overwrite=overwrite)
    click.echo(f"Set variable {name}.")


@click.command("unset")
@click.argument("name")
def unset_variable(name: str) -> None:
    """Delete a variable."""
    if not Variable.unset(name):
        raise _not_found(name)
    click.echo(f"Unset variable {name}.")


def _not_found(name: str) -> VariableNotFound:
    hint = "`dataflow variables ls` lists them."
    return VariableNotFound(f"There is no variable {name!r}.", hint=hint, name=name)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _row(variable: VariableSummary) -> list[Any]:
    from rich.text import Text

    value = _json(variable.value)
    return [
        Text(variable.name, "bold"),
        Text(value if len(value) <= _MOST_TEXT else value[: _MOST_TEXT - 1] + "…"),
        Text(", ".join(variable.tags), "dim"),
        moment_text(variable.updated),
        Text(ago_text(variable.updated), "dim"),
    ]


def _as_dict(variable: VariableSummary) -> dict[str, Any]:
    return {
        "name": variable.name,
        "value": variable.value,
        "tags": list(variable.tags),
        "created": variable.created,
        "updated": variable.updated,
    }
