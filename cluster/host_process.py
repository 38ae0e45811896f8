"""A process that hosts a cluster for this one, and the socket over which it hears from us."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from dataflow.execution.runner_protocol import Remaining

REPORT, USED = "report", "used"
"""What a host may be asked: why there are no workers, and for how long there have been some."""
_REPORT_SECONDS = 60.0  # a batch system is asked meanwhile
_ANSWER_SECONDS = 5.0


class HostProcess:
    """A process in a session of its own: Ctrl-C is the flow's, which tells it what to do.

    Args:
        program: given the descriptor of its end of the socket, what it runs.
        log: what it prints goes there; None: where our own goes.
        working_folder: in which it works; None: in ours.

    Attributes:
        control: our end of the socket; when it is closed, the host ends its cluster.
    """

    def __init__(
        self,
        program: Callable[[int], str],
        log: IO[bytes] | None = None,
        working_folder: str | None = None,
    ) -> None:
        self._owner = os.getpid()
        self._started = time.monotonic()
        self._speaking = threading.Lock()
        self._asking = threading.Lock()
        self.control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=working_folder,
                start_new_session=True,
            )

    @property
    def is_own(self) -> bool:
        """Whether this is the process that started it, and no fork of that."""
        return os.getpid() == self._owner

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it has ended; None: it goes on."""
        return self._process.poll()

    def expect(self, remaining: Remaining) -> None:
        """Say what remains: if the cluster adapts, its size follows."""
        with contextlib.suppress(OSError), self._speaking:  # it has ended
            self.control.sendall(pickle.dumps(remaining))

    def report(self) -> str:
        """What it knows of workers that are not there.

        Raises:
            OSError, EOFError: it does not answer.
        """
        return str(self._ask(REPORT, _REPORT_SECONDS))

    def used_seconds(self, before: float, most_workers: float) -> float:
        """How long workers have been there, all together; if it does not answer, at most.

        Args:
            before: what had been used when it was started.
            most_workers: that it may have had.
        """
        try:
            return float(self._ask(USED, _ANSWER_SECONDS))
        except (OSError, EOFError, pickle.UnpicklingError):
            return before + most_workers * (time.monotonic() - self._started)

    def _ask(self, question: str, seconds: float) -> Any:
        with self._asking, self.control.makefile("rb") as answers:
            with self._speaking:
                self.control.settimeout(seconds)
                self.control.sendall(pickle.dumps(question))
            while True:
                told, answer = pickle.load(answers)
                if told == question:  # and not one that nobody waits for any more
                    return answer

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait()

    def interrupt(self) -> None:
        """Have it end what it is at, though nobody has heard from it yet."""
        self._process.terminate()

    def end(self, seconds: float) -> None:
        """Have it end, and all that it started if that takes longer than so many seconds."""
        self.control.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
