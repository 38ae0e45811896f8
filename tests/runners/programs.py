"""Programs that tests start as processes of their own, and what such processes leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60


class Program:
    """A script that runs; it says ``ready`` on a line of its own when it is where it should be."""

    def __init__(self, source: str, home: Path, runner: str) -> None:
        script = home.parent / "program.py"
        script.write_text(source)
        environment = {
            **os.environ,
            "DATAFLOW_HOME": str(home),
            "DATAFLOW_RUNNER": runner,
            "DATAFLOW_WORKERS": "2",
            "PYTHONPATH": str(ROOT),
            "TEST_PROGRAM": str(script),
        }
        self.mark = f"TEST_PROGRAM={script}".encode()
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, as in a terminal
        )

    def wait_ready(self) -> None:
        """Wait for the line ``ready``."""
        self.wait_said("ready")

    def wait_said(self, text: str, times: int = 1) -> None:
        """Wait until it has printed this line, so many times from now on."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            times -= line.strip() == text
            if not times:
                return
        raise AssertionError(f"it ended first: {self.end()}")

    def processes(self) -> set[int]:
        """It and all that it started, wherever that moved to, as far as they are alive."""
        return {
            pid
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208
            if _was_started_with(pid, self.mark)
        }

    def signal(self, number: int, whole_group: bool = False) -> None:
        """Send a signal to it, or to its process group as a terminal does."""
        if whole_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self, patience_seconds: float = PATIENCE_SECONDS) -> tuple[int, str, str]:
        """Wait for its end: exit status and output."""
        out, err = self.process.communicate(timeout=patience_seconds)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """Let nothing of it survive the test."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _was_started_with(pid: int, variable: bytes) -> bool:
    """Whether a process (no zombie) has this in the environment that it was started with."""
    place = Path("/proc") / str(pid)
    try:
        environment = (place / "environ").read_bytes().split(b"\0")
        return variable in environment and ") Z" not in (place / "stat").read_text()
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fails when it does not come true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
