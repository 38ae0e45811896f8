"""The runner on a pool of processes of this machine, and what its workers do.

Workers load modules of this package without needing the runner: that is loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runners.processes.runner import ProcessPoolTaskRunner

__all__ = ["ProcessPoolTaskRunner"]


def __getattr__(name: str) -> Any:
    if name == "ProcessPoolTaskRunner":
        from runners.processes.runner import ProcessPoolTaskRunner

        return ProcessPoolTaskRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
