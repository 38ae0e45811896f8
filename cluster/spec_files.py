"""Specs that are written down: the tables ``[clusters.NAME]`` of ``dataflow.toml``.

There can be two such files: the project's, in the working folder or the nearest one above it, and
the user's, in ``DATAFLOW_HOME``. Of two clusters with one name the project's counts.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.spec import ClusterSpec, check_name
from dataflow.errors import ClusterNotFound, SettingsError
from dataflow.settings import get_settings

FILE = "dataflow.toml"
_PROVIDER = "local"


@dataclass(frozen=True, slots=True)
class Written:
    """What is said of a cluster that is written down, whether it can be used or not.

    Attributes:
        path: of the file.
        provider: who makes it.
    """

    path: Path
    provider: str


def written_clusters() -> dict[str, Written]:
    """All clusters that are written down, by name.

    Raises:
        SettingsError: a file is no TOML, or has something else where clusters should be.
    """
    return {
        name: Written(path, str(table.get("provider", _PROVIDER)))
        for path in reversed(_files())
        for name, table in _tables(path).items()
    }


def written_spec(name: str) -> ClusterSpec | None:
    """The spec of a name; None: it is not written down.

    Raises:
        SettingsError: it cannot be used; the message says where it stands.
    """
    for path in _files():
        tables = _tables(path)
        if name in tables:
            return _read(name, tables[name], path)
    return None


def not_found(name: str, running: list[str]) -> ClusterNotFound:
    """The error for a name that nobody knows.

    Args:
        name: what was asked for.
        running: names of clusters that run.
    """
    known = sorted({*written_clusters(), *running})
    close = difflib.get_close_matches(name, known, 1)
    nearly = f"Did you mean {close[0]!r}? " if close else ""
    listed = f"Known clusters: {', '.join(known)}. " if known else ""
    return ClusterNotFound(
        f"There is no cluster {name!r}: none runs, and no {FILE} has [clusters.{name}].",
        hint=f"{nearly}{listed}Start one: dataflow cluster start {name}.",
    )


def _read(name: str, table: Any, path: Path) -> ClusterSpec:
    check_name(name)
    reserved = {"name", "origin", "options"} & set(table)
    if reserved:
        raise SettingsError(
            f"Cluster {name!r} ({path}): there is no field {sorted(reserved)[0]!r}.",
            hint="The name of a cluster is that of its table.",
        )
    return ClusterSpec(**{"provider": _PROVIDER, **table, "name": name, "origin": str(path)})


def _files() -> list[Path]:
    """The files that there are; what stands in an earlier one counts."""
    here = Path.cwd()
    project = next((each / FILE for each in (here, *here.parents) if (each / FILE).is_file()), None)
    user = get_settings().home / FILE
    found = [project] if project else []
    if user.is_file() and not (project and project.samefile(user)):
        found.append(user)
    return found


def _tables(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text()).get("clusters", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise SettingsError(
            f"{path}: 'clusters' should have a table for each cluster.",
            hint='Such as [clusters.lab], and under it provider = "ssh".',
        )
    return found
