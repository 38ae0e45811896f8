"""Which runner a flow gets: the object that it names, or the one of a name, made once a process."""

from __future__ import annotations

import os
from typing import Any

from dataflow.errors import RunnerNotFound
from dataflow.execution.runner_protocol import Runner
from dataflow.plugins import load_plugin
from dataflow.settings import get_settings

runners_by_name: dict[tuple[int, str], Runner] = {}
"""Those that were made by their names, by process."""

_only: str | None = None


def choose_runner(choice: Any) -> Runner:
    """The runner for what a user gave as ``task_runner`` (None: the one in the settings).

    Runners that are chosen by name are shared by all flows of the process and stay warm.

    Raises:
        RunnerNotFound: there is no runner of that name, or the object is none.
    """
    choice = _only or choice
    if choice is None:
        choice = get_settings().runner
    if isinstance(choice, str):
        key = (os.getpid(), choice)
        if key not in runners_by_name:
            runners_by_name[key] = _make(choice)
        return runners_by_name[key]
    if isinstance(choice, type):
        choice = choice()
    if not isinstance(choice, Runner):
        raise RunnerNotFound(
            f"{choice!r} is not a task runner.",
            hint='Use "inline", "threads", "processes" or "dask", or a runner object.',
        )
    return choice


def _make(choice: str) -> Runner:
    """The runner of a name, or of a name and what it is to use: ``"dask:NAME"``."""
    name, colon, rest = choice.partition(":")
    kind = load_plugin("dataflow.runners", name)
    if not colon:
        runner: Runner = kind()
        return runner
    if not hasattr(kind, "for_name"):
        raise RunnerNotFound(
            f"The runner {name!r} takes nothing behind a colon, but {choice!r} has something.",
            hint=f"Write {name!r}, or 'dask:NAME' for the cluster of a name.",
        )
    runner = kind.for_name(rest)
    return runner


def run_everything_on(name: str | None) -> str | None:
    """Have every run use the runner of that name, whatever flows and settings say (for tests).

    Args:
        name: the runner; None: flows and settings say.

    Returns:
        What it was before.
    """
    global _only
    before, _only = _only, name
    return before
