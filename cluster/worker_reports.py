"""What a cluster says of the workers that it should have, when none is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from cluster.shown import hide_secrets

_MOST = 5
_COMMAND_SECONDS = 10.0


def report_of(ask: Callable[[], Sequence[str]], heard: Iterable[str], size: str | None) -> str:
    """All that is known, a line each, without secrets.

    Args:
        ask: the provider.
        heard: what the cluster's processes said last.
        size: how many workers are wanted, and why, if that follows the work.
    """
    try:
        told = list(ask())
    except Exception as error:  # every provider has errors of its own
        told = [f"what it could not tell: {type(error).__name__}: {error}"]
    wanted = [] if size is None else [f"is to have {size}"]
    lines = [*wanted, *told, *(f"said: {line}" for line in heard)]
    return hide_secrets("\n".join(lines))


def report_of_workers(cluster: Any) -> list[str]:
    """What Dask's object of a cluster knows of each worker, or of each job."""
    asked = getattr(cluster, "worker_spec", None)
    if asked is None:
        return [f"{type(cluster).__name__}: {cluster.status.name}"]
    there = {name: worker.status.name for name, worker in cluster.workers.items()}
    states = [f"worker {name}: {there.get(name, 'gone')}" for name in asked]
    return [f"workers asked for: {len(asked)}", *shortened(states)]


def shortened(lines: list[str]) -> list[str]:
    """The last few, and how many there are besides."""
    more = len(lines) - _MOST
    return [f"({more} more)", *lines[-_MOST:]] if more > 0 else lines


def last_lines(path: str) -> list[str]:
    """The end of a file; nothing, if it cannot be read here."""
    try:
        return Path(path).read_text(errors="replace").splitlines()[-_MOST:]
    except OSError:
        return []


def output_of(*command: str) -> str:
    """What a command of the system prints; in words, if it cannot be asked."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not there"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} did not answer: {error}"
    return (done.stdout or done.stderr).strip()
