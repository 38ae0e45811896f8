"""The runner on a Dask cluster, and what of it runs on the cluster's workers.

Workers load modules of this package without needing the runner: that is loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runners.dask.runner import DaskTaskRunner

__all__ = ["DaskTaskRunner"]


def __getattr__(name: str) -> Any:
    if name == "DaskTaskRunner":
        from runners.dask.runner import DaskTaskRunner

        return DaskTaskRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
