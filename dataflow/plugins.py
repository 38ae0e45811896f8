"""The door for parts that live outside ``dataflow``: entry points.

Our own runners and clusters come in through it exactly as those of other distributions do.
"""

from __future__ import annotations

from typing import Any

from dataflow.errors import RunnerNotFound


def plugin_names(group: str) -> list[str]:
    """The names that installed distributions offer in an entry-point group, sorted."""
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group=group)})


def load_plugin(group: str, name: str) -> Any:
    """The object behind a name of an entry-point group.

    Raises:
        RunnerNotFound: nothing of that name is installed; the message has the names there are.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=group):
        if point.name == name:
            _refuse_shadow(point.module)
            return point.load()
    known = ", ".join(plugin_names(group)) or "none are installed"
    raise RunnerNotFound(
        f"There is no {group.removeprefix('dataflow.').removesuffix('s')} {name!r}.",
        hint=f"Known names: {known}.",
    )


def _refuse_shadow(module: str) -> None:
    """``runners`` and ``cluster`` are common words: say so when a user's module hides ours."""
    package = module.partition(".")[0]
    if package not in ("runners", "cluster"):
        return
    import importlib
    from pathlib import Path

    found = Path(getattr(importlib.import_module(package), "__file__", None) or "(a folder)")
    ours = Path(__file__).parent.parent / package / "__init__.py"
    if found != ours and ours.exists():
        raise RunnerNotFound(
            f"The package {package!r} of dataflow is hidden by {found}, which Python finds first.",
            hint=f"Rename {found}, or move it off the import path.",
        )
