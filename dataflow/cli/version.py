"""``dataflow version``: what is installed, and where runs are kept."""

from __future__ import annotations

import contextlib
import platform
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import click

from dataflow.cli.output import echo_json
from dataflow.display.quantities import bytes_text
from dataflow.settings import get_settings
from dataflow.store.store_places import find_place

_DISTRIBUTIONS = {
    "dask": "dask",
    "distributed": "distributed",
    "networkx": "networkx",
    "cloudpickle": "cloudpickle",
    "msgpack": "msgpack",
    "pydantic": "pydantic",
    "psycopg": "psycopg",
    "click": "click",
    "rich": "rich",
}


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print the versions of all that matters, and where the store is."""
    facts = {**versions(), **places()}
    if as_json:
        echo_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {_shown(name, value)}")


def versions() -> dict[str, Any]:
    """Versions by name; None for what is not installed."""
    return {
        "dataflow": _installed("dataflow-runtime"),
        "python": platform.python_version(),
        **{name: _installed(distribution) for name, distribution in _DISTRIBUTIONS.items()},
        "sqlite": sqlite3.sqlite_version,
    }


def places() -> dict[str, Any]:
    """The interpreter, the home folder and the store."""
    place = find_place()
    path = place.path
    there = path is not None and path.exists()
    return {
        "executable": sys.executable,
        "platform": platform.platform(),
        "home": str(get_settings().home),
        "store": str(place),
        "store_bytes": path.stat().st_size if path is not None and there else None,
        "store_schema": _schema_version(path) if path is not None and there else None,
    }


def _installed(distribution: str) -> str | None:
    try:
        return installed(distribution)
    except PackageNotFoundError:
        return None


def _schema_version(path: Path) -> int | None:
    """The schema of the store as it is: looking makes none, and upgrades none."""
    from dataflow.store.sqlite_schema import schema_version

    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        with contextlib.closing(connection):
            return schema_version(connection)
    return None


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not there yet" if name.startswith("store") else "not installed"
    return bytes_text(value) if name == "store_bytes" else str(value)
