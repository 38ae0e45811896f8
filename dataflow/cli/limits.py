"""``dataflow limits``: limits on what goes on at once in all runs of the store."""

from __future__ import annotations

from typing import Any

import click

from dataflow import limits as of_store
from dataflow.cli.commands import CONTEXT
from dataflow.cli.output import ago_text, echo_json, moment_text, print_table

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_LIMIT = click.option("--limit", type=int, help="How many slots it has; 0 lets nothing begin.")
_DECAY = click.option(
    "--slot-decay-per-second", "decay", type=float, help="Of a limit on a rate: slots a second."
)
_ACTIVE = click.option("--enable/--disable", "active", default=None, help="Whether it limits.")


@click.group("limits", context_settings=CONTEXT)
def limits() -> None:
    """Limits on what goes on at once, in all runs together.

    \b
      dataflow limits create database --limit 3      with concurrency("database"): ...
      dataflow limits create tag:gpu --limit 1       task runs with the tag gpu
      dataflow limits create api --limit 10 --slot-decay-per-second 5     rate_limit("api")
    """


@limits.command("ls")
@_JSON
def list_limits(as_json: bool) -> None:
    """List limits, and how much of each is taken."""
    found = of_store.limits()
    if as_json:
        echo_json([each._asdict() for each in found])
    elif found:
        columns = ("NAME", ">HELD", ">LIMIT", ">WAITING", ">A SECOND", "")
        print_table(columns, [_row(each) for each in found])
    else:
        click.echo("No limits yet.")


def _row(limit: of_store.Limit) -> list[Any]:
    decay = limit.slot_decay_per_second
    return [
        limit.name,
        str(limit.held),
        str(limit.slots),
        str(limit.waiting),
        f"{decay:g}" if decay else "",
        "" if limit.active else "disabled",
    ]


@limits.command("create")
@click.argument("name")
@click.option("--limit", type=int, required=True, help="How many slots; 0 lets nothing begin.")
@_DECAY
@_ACTIVE
def create_limit(name: str, limit: int, decay: float | None, active: bool | None) -> None:
    """Make a limit; tag:NAME limits the task runs with that tag."""
    of_store.create_limit(
        name, limit, slot_decay_per_second=decay or 0.0, active=active is not False
    )
    click.echo(f"{name} has {limit} slot(s).")


@limits.command("update")
@click.argument("name")
@_LIMIT
@_DECAY
@_ACTIVE
def update_limit(name: str, limit: int | None, decay: float | None, active: bool | None) -> None:
    """Change a limit; who holds slots keeps them."""
    of_store.update_limit(name, limit, slot_decay_per_second=decay, active=active)
    click.echo(f"{name} was changed.")


@limits.command("rm")
@click.argument("name")
def remove_limit(name: str) -> None:
    """Remove a limit; who waits for it goes on."""
    of_store.delete_limit(name)
    click.echo(f"{name} was removed.")


@limits.command("inspect")
@click.argument("name")
@_JSON
def inspect_limit(name: str, as_json: bool) -> None:
    """Show who holds slots of a limit, and who waits, in the order of asking."""
    found = of_store.limit_holders(name)
    if as_json:
        echo_json([{**each._asdict(), "process": each.process._asdict()} for each in found])
        return
    if not found:
        click.echo(f"Nobody holds slots of {name} or waits for them.")
        return
    rows = [
        [
            each.holder,
            "holds" if each.granted else "waits",
            str(each.slots),
            moment_text(each.since),
            ago_text(each.since),
            f"{each.process.pid} on {each.process.place.partition('/')[0]}",
        ]
        for each in found
    ]
    print_table(("WHO", "", ">SLOTS", "SINCE", "", "PROCESS"), rows)
