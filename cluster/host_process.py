"""A process that hosts a cluster for this one, and the socket over which it hears from us."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import IO

from dataflow.execution.runner_protocol import Remaining


class HostProcess:
    """A process in a session of its own: Ctrl-C is the flow's, which tells it what to do.

    Args:
        program: given the descriptor of its end of the socket, what it runs.
        log: what it prints goes there; None: where our own goes.

    Attributes:
        control: our end of the socket; when it is closed, the host ends its cluster.
    """

    def __init__(self, program: Callable[[int], str], log: IO[bytes] | None = None) -> None:
        self._owner = os.getpid()
        self.control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
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
        with contextlib.suppress(OSError):  # it has ended
            self.control.sendall(pickle.dumps(remaining))

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
