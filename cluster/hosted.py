"""Starting the process that hosts a cluster (``cluster.spec_host``); waiting for what it says."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from cluster.host_messages import HostAnswer, HostRequest
from cluster.host_process import HostProcess
from cluster.shown import hide_secrets
from cluster.spec import ClusterSpec
from cluster.standing_records import StandingPlace
from dataflow.errors import RunnerUnavailable
from dataflow.execution.runner_protocol import Remaining
from dataflow.settings import get_settings

_MAIN = (
    "import sys; sys.path[:] = {path!r}; sys.argv[:] = ['dataflow-cluster']; "
    "from cluster.spec_host import main; main({fd}, {stands})"
)
_END_SECONDS = 25.0
_TAIL_LINES = 15


class HostedCluster:
    """A cluster in processes of its own, which ends when it is closed, and with this process.

    Args:
        spec: of the cluster.
        used_seconds: of its ``max_worker_seconds``, that clusters before it have used.

    Attributes:
        address: of its scheduler.
        tls: what it is to be spoken to with.

    Raises:
        RunnerUnavailable: it could not be started.
    """

    def __init__(self, spec: ClusterSpec, used_seconds: float = 0.0) -> None:
        self._spec, self._used_before = spec, used_seconds
        self._folder = folder = make_folder(spec)
        log = Path(folder, "log")
        with log.open("wb") as file:
            self._host = start_host(HostRequest(spec, folder, used_seconds=used_seconds), file)
        try:
            answer = read_answer(self._host.control, spec, log)
        except BaseException:  # Ctrl-C as well: no host stays behind
            self._host.interrupt()
            self.close()
            raise
        self.address, self.tls = answer.address, answer.tls

    @property
    def security(self) -> Any:
        """For Dask's client."""
        return self.tls.security() if self.tls is not None else None

    def expect(self, remaining: Remaining) -> None:
        """Say what remains: if the cluster adapts, its size follows."""
        self._host.expect(remaining)

    def report(self) -> str:
        """What is known of workers that are not there."""
        return self._host.report()

    def used_seconds(self) -> float:
        """How long workers have been there, all together, with those of clusters before it."""
        most = getattr(getattr(self._spec.options, "adapt", None), "maximum", 0)
        return self._host.used_seconds(self._used_before, most)

    def close(self) -> None:
        """End its processes."""
        if not self._host.is_own:
            return
        self._host.end(_END_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)


def make_folder(spec: ClusterSpec) -> str:
    """A folder for what a cluster needs on disk: where a batch system's nodes see it, too."""
    shared = getattr(spec.options, "shared_folder", None)
    parent = Path(shared) if shared else get_settings().home / "clusters"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.mkdtemp(prefix="files-", dir=parent)


def start_host(request: HostRequest, log: IO[bytes]) -> HostProcess:
    """Start a host and tell it what is wanted; its answer comes over its socket."""
    import cloudpickle

    path = [str(Path(path).absolute()) for path in sys.path]
    stands = request.standing is not None
    host = HostProcess(lambda fd: _MAIN.format(path=path, fd=fd, stands=stands), log)
    host.control.settimeout(request.spec.start_seconds)
    with contextlib.suppress(OSError):  # it has ended; its log says why
        host.control.sendall(cloudpickle.dumps(request))
    return host


def read_answer(control: socket.socket, spec: ClusterSpec, log: Path) -> HostAnswer:
    """Wait for a cluster to be there.

    Raises:
        DataflowError: it did not start; the error has the end of its log where it says no more.
    """
    seconds = spec.start_seconds
    try:
        with control.makefile("rb") as stream:
            answer = pickle.load(stream)
    except TimeoutError:
        raise RunnerUnavailable(
            f"{spec.where} was not there within {seconds:g} seconds.{_tail(log)}",
            hint="start_seconds in its spec sets the limit.",
        ) from None
    except (OSError, EOFError) as error:
        raise RunnerUnavailable(
            f"The process that should host {spec.where} has ended.{_tail(log)}"
        ) from error
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, HostAnswer)
    return answer


def start_standing(spec: ClusterSpec, place: StandingPlace) -> None:
    """Start a cluster that outlives this process; when this returns, it has been written down."""
    log = place.path("log")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        host = start_host(HostRequest(spec, make_folder(spec), place), file)
    host.wait()  # it has a child that goes on
    with host.control as control:
        read_answer(control, spec, log)


def _tail(log: Path) -> str:
    """The end of a log, behind what else is said."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        return ""
    return hide_secrets("\nThe end of its log:\n  " + "\n  ".join(lines)) if lines else ""
