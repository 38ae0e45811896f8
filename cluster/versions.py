"""Whether a cluster can run our batches: the same versions of what both sides must agree on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from cluster.needs import ALL_CODE, Needs
from dataflow.errors import VersionMismatch

_logger = logging.getLogger("dataflow.cluster")
P = ParamSpec("P")
R = TypeVar("R")
Versions = dict[str, str]


def versions_here(packages: Sequence[str] = ()) -> Versions:
    """The versions of this process. Workers run it too, also those that lack dataflow."""
    import importlib.metadata
    import pickle
    import platform

    found = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "pickle": str(pickle.HIGHEST_PROTOCOL),
    }
    named = [(package, package) for package in packages]
    for shown, distribution in (
        ("dataflow", "dataflow-runtime"),
        ("distributed", "distributed"),
        ("cloudpickle", "cloudpickle"),
        *named,
    ):
        try:
            found[shown] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[shown] = "missing"
    return found


def check_versions(client: Any, needs: Needs = ALL_CODE) -> None:
    """Compare the versions of a cluster's processes with ours, and with what its spec names.

    Raises:
        VersionMismatch: they differ; the message has a table of who has what. If the spec says
            ``versions = "warning"``, that is logged instead.
    """
    ask = by_value(versions_here)
    found = {"scheduler": client.run_on_scheduler(ask, ())}  # it runs no tasks
    ours = versions_here(needs.packages)
    found["scheduler"] |= {name: ours[name] for name in needs.packages}
    for worker, answer in client.run(ask, needs.packages, on_error="return").items():
        if isinstance(answer, OSError):  # it has gone meanwhile
            continue
        if isinstance(answer, Exception):
            raise answer
        found[worker] = answer
    mismatch = find_mismatch(ours, found)
    if mismatch is None:
        return
    if not needs.warns:
        raise mismatch
    _logger.warning("%s", mismatch.message)


def find_mismatch(ours: Versions, theirs: dict[str, Versions]) -> VersionMismatch | None:
    """The error for processes whose versions differ from ours; None if none does."""
    different = {name: versions for name, versions in theirs.items() if versions != ours}
    if not different:
        return None
    return VersionMismatch(
        "The Dask cluster has other versions than this process:\n"
        + _table({"here": ours, **different}, ours),
        hint='Install the same versions in both places; versions = "warning" in the cluster\'s '
        "spec has it tried nevertheless.",
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
