"""Which runner a flow gets: the object that it names, or the one of a name, made once a process."""

from __future__ import annotations

import os
from typing import Any

from dataflow.errors import RunnerNotFound
from dataflow.execution.runner_protocol import Runner
from dataflow.plugins import load_plugin
from dataflow.settings import get_settings

_by_name: dict[tuple[int, str], Runner] = {}


def choose_runner(choice: Any) -> Runner:
    """The runner for what a user gave as ``task_runner`` (None: the one in the settings).

    Runners that are chosen by name are shared by all flows of the process and stay warm.

    Raises:
        RunnerNotFound: there is no runner of that name, or the object is none.
    """
    if choice is None:
        choice = get_settings().runner
    if isinstance(choice, str):
        key = (os.getpid(), choice)
        if key not in _by_name:
            _by_name[key] = load_plugin("dataflow.runners", choice)()
        return _by_name[key]
    if isinstance(choice, type):
        choice = choice()
    if not isinstance(choice, Runner):
        raise RunnerNotFound(
            f"{choice!r} is not a task runner.",
            hint='Use "inline", "threads", "processes" or "dask", or a runner object.',
        )
    return choice
