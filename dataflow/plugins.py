"""The door for parts that live outside ``dataflow``: entry points.

Our own runners and clusters come in through it exactly as those of other distributions do. Those
that nearly every process needs are known here too: looking through all that is installed costs
a tenth of a first flow.
"""

from __future__ import annotations

import importlib
from typing import Any

from dataflow.errors import RunnerNotFound

OURS = {
    ("dataflow.runners", "inline"): "runners.inline:InlineTaskRunner",
    ("dataflow.runners", "threads"): "runners.threads:ThreadPoolTaskRunner",
    ("dataflow.runners", "processes"): "runners.processes:ProcessPoolTaskRunner",
    ("dataflow.runners", "dask"): "runners.dask:DaskTaskRunner",
    ("dataflow.displays", "progress"): "dataflow.display.progress:start_display",
}


def plugin_names(group: str) -> list[str]:
    """The names that installed distributions offer in an entry-point group, sorted."""
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group=group)})


def load_plugin(group: str, name: str) -> Any:
    """The object behind a name of an entry-point group.

    Raises:
        RunnerNotFound: nothing of that name is installed; the message has the names there are.
    """
    if (group, name) in OURS:
        module, _, attribute = OURS[group, name].partition(":")
        _refuse_shadow(module)
        return getattr(importlib.import_module(module), attribute)
    from importlib.metadata import entry_points

    for point in entry_points(group=group):
        if point.name == name:
            _refuse_shadow(point.module)
            return point.load()
    raise _not_found(group, name, plugin_names(group))


def check_plugin(group: str, name: str) -> None:
    """Refuse a name that an entry-point group does not have; nothing is loaded.

    Raises:
        RunnerNotFound: as for :func:`load_plugin`.
    """
    known = plugin_names(group)
    if name not in known:
        raise _not_found(group, name, known)


def _not_found(group: str, name: str, known: list[str]) -> RunnerNotFound:
    return RunnerNotFound(
        f"There is no {group.removeprefix('dataflow.').removesuffix('s')} {name!r}.",
        hint=f"Known names: {', '.join(known) or 'none are installed'}.",
    )


def _refuse_shadow(module: str) -> None:
    """``runners`` and ``cluster`` are common words: say so when a user's module hides ours."""
    package = module.partition(".")[0]
    if package not in ("runners", "cluster"):
        return
    from pathlib import Path

    found = Path(getattr(importlib.import_module(package), "__file__", None) or "(a folder)")
    ours = Path(__file__).parent.parent / package / "__init__.py"
    if found != ours and ours.exists():
        raise RunnerNotFound(
            f"The package {package!r} of dataflow is hidden by {found}, which Python finds first.",
            hint=f"Rename {found}, or move it off the import path.",
        )
