"""Clusters that outlive the command that started them: start, find, ask, end.

Several runs share one; each finds it by its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from typing import Any

from cluster.hosted import start_standing
from cluster.spec import ClusterSpec, check_name
from cluster.standing_records import StandingRecord, find_record, place_of, starting
from dataflow.errors import ClusterError
from dataflow.execution.runner_protocol import Remaining
from dataflow.process_ids import is_gone

_ANSWER_SECONDS = 10.0
_REPORT_SECONDS = 60.0  # a batch system is asked meanwhile
_STOP_SECONDS = 30.0


def start(name: str, spec: ClusterSpec) -> tuple[StandingRecord, bool]:
    """Start a cluster, unless one of that name stands; what stands, and whether it is new.

    Raises:
        ClusterError: there is nothing to start.
        RunnerUnavailable: it did not start.
    """
    place = place_of(check_name(name))
    if not spec.find_provider().is_hosted:
        raise ClusterError(
            f"{spec.where} is a scheduler that somebody else has started.",
            hint=f"Use it as it is: dataflow run --runner dask:{name}.",
        )
    with starting(place):
        found = find_record(name)
        if found is not None:
            return found, False
        start_standing(spec, place)
        found = find_record(name)
    if found is None:
        raise ClusterError(f"Cluster {name!r} has ended as soon as it was there.")
    return found, True


class Control:
    """A connection to the host of a standing cluster.

    Args:
        record: of the cluster.

    Raises:
        ClusterError: its host is on another machine, or does not answer.
    """

    def __init__(self, record: StandingRecord) -> None:
        self._record = record
        if is_gone(record.process) is None:
            raise ClusterError(
                f"Cluster {record.name!r} is looked after by a process on {record.host}.",
                hint=f"Do this on {record.host}.",
            )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            self._socket.connect(record.control)
        except OSError as error:
            self._socket.close()
            raise self._silent() from error
        self._stream = self._socket.makefile("rb")

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        """Ask the host to do something; what it says.

        Raises:
            ClusterError: it cannot, or does not answer.
        """
        try:
            self._socket.sendall(json.dumps({"do": what, **given}).encode() + b"\n")
            line = self._stream.readline()
        except OSError as error:
            raise self._silent() from error
        if not line:
            raise self._silent()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ClusterError(f"Cluster {self._record.name!r} refuses: {answer['error']}")
        return answer

    def expect(self, remaining: Remaining) -> None:
        """Say what remains for this run: if the cluster adapts, its size follows."""
        self.ask(
            "expect",
            elements=remaining.elements,
            seconds=remaining.seconds,
            unmeasured=remaining.unmeasured,
        )

    def report(self) -> str:
        """What is known of workers that are not there."""
        self._socket.settimeout(_REPORT_SECONDS)
        return str(self.ask("report")["report"])

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _silent(self) -> ClusterError:
        return ClusterError(
            f"The host of cluster {self._record.name!r} (process {self._record.process.pid}) "
            "does not answer.",
            hint=f"dataflow cluster logs {self._record.name} may tell why; "
            f"dataflow cluster stop {self._record.name} ends it.",
        )


def stop(record: StandingRecord) -> None:
    """End a cluster, and wait until it has ended; one that does not is killed.

    Raises:
        ClusterError: its host is on another machine.
    """
    if is_gone(record.process) is None:
        Control(record)
    try:
        with Control(record) as control:
            control.ask("stop")
    except ClusterError:
        with contextlib.suppress(OSError):
            os.kill(record.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while not is_gone(record.process) and time.monotonic() < deadline:
        time.sleep(0.05)
    with contextlib.suppress(OSError):  # what is left of its processes
        os.killpg(record.process.pid, signal.SIGKILL)
    while not is_gone(record.process):
        time.sleep(0.01)
    find_record(record.name)  # what a killed one has left
