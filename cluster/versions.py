"""Whether a cluster can run our batches: the same versions of what both sides must agree on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from dataflow.errors import VersionMismatch

P = ParamSpec("P")
R = TypeVar("R")
Versions = dict[str, str]


def versions_here() -> Versions:
    """The versions of this process. Workers run it too, also those that lack dataflow."""
    import importlib.metadata
    import platform

    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for shown, distribution in (
        ("dataflow", "dataflow-runtime"),
        ("distributed", "distributed"),
        ("cloudpickle", "cloudpickle"),
    ):
        try:
            found[shown] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[shown] = "missing"
    return found


def check_versions(client: Any) -> None:
    """Compare the versions of a cluster's processes with ours.

    Raises:
        VersionMismatch: they differ; the message has a table of who has what.
    """
    ask = by_value(versions_here)
    found = {"scheduler": client.run_on_scheduler(ask)}
    found.update(client.run(ask))
    mismatch = find_mismatch(versions_here(), found)
    if mismatch is not None:
        raise mismatch


def find_mismatch(ours: Versions, theirs: dict[str, Versions]) -> VersionMismatch | None:
    """The error for processes whose versions differ from ours; None if none does."""
    different = {name: versions for name, versions in theirs.items() if versions != ours}
    if not different:
        return None
    return VersionMismatch(
        "The Dask cluster has other versions than this process:\n"
        + _table({"here": ours, **different}, ours),
        hint="Install the same versions in both places.",
        versions=different,
    )


def _table(rows: dict[str, Versions], ours: Versions) -> str:
    header = ["", *ours]
    lines = [header]
    for name, versions in rows.items():
        cells = [versions.get(what, "missing") for what in ours]
        marked = [
            cell if cell == ours[what] else f"{cell} (!)"
            for what, cell in zip(ours, cells, strict=True)
        ]
        lines.append([name, *marked])
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(f"  {line}".rstrip() for line in padded)


def by_value(function: Callable[P, R]) -> Callable[P, R]:
    """A function that is sent as code, since its module may not be there."""
    from types import FunctionType

    assert isinstance(function, FunctionType)
    copy = FunctionType(function.__code__, {"__builtins__": __builtins__}, function.__name__)
    copy.__module__ = "__main__"
    return copy
