"""Programs that are killed amid their hooks, and those that take up what they have left.

A program does what it did the first time until ``again`` is in its home; its hooks note in ``told``
what they were called with.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from dataflow import records
from tests.runners.programs import PATIENCE_SECONDS, Program


def kill(program: Program, home: Path) -> records.Run:
    """Kill the first program, whose flow is ``hooked``."""
    program.signal(signal.SIGKILL)
    program.end()
    (home / "again").touch()
    (run,) = records.runs(flow_name="hooked")
    return run


def kill_when_ready(program: Program, home: Path) -> records.Run:
    """Kill it amid a hook, when it says that it is there."""
    program.wait_ready()
    return kill(program, home)


def resume(run: records.Run) -> None:
    """Resume a run on the command line, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dataflow", "runs", "resume", run.id],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**os.environ, "DATAFLOW_WORKERS": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert run.refresh().state.is_completed()


def notes_in(home: Path) -> list[str]:
    """What hooks have noted so far."""
    return (home / "told").read_text().splitlines()
