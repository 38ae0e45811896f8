"""The process that hosts a cluster which a spec asks for, whoever provides it.

It keeps the cluster's work, and what its provider sets in Dask's configuration, out of the process
that asked. Either it ends when that process hangs up, or it stands until it is told to end.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import socket
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.heard import Heard, write_to_log
from cluster.host_messages import HostAnswer, Hosted, HostRequest
from cluster.host_process import REPORT, USED
from cluster.provider_protocol import Opening
from cluster.shown import hide_secrets
from cluster.spec import ClusterSpec
from cluster.tls import tls_of, tls_of_security
from dataflow.errors import ClusterError, DataflowError, RunnerUnavailable

if TYPE_CHECKING:
    from cluster.adapting import FollowsWork

_CLOSE_SECONDS = 20.0
_CONFIG = {
    "distributed.worker.multiprocessing-method": "forkserver",
    # the run decides what becomes of a batch whose worker died: it knows which call was at fault
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.preload": ["cluster.message_intervals", "cluster.preferred_workers"],
    "distributed.worker.preload": ["cluster.message_intervals"],
}


def main(descriptor: int, stands: bool) -> None:
    """Host a cluster for whoever is at the other end of a socket.

    Args:
        descriptor: of the socket.
        stands: whether it is to outlive who asks, as nobody's child.
    """
    if stands:
        if os.fork():
            os._exit(0)
        os.setsid()  # its processes can be ended as one group
    control = socket.socket(fileno=descriptor)
    write_to_log()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    status = 1
    try:
        _serve(control)
        status = 0
    except SystemExit:
        status = 0
    except BaseException:  # for the log, which is all that there is to look at
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)  # what is left is ended by it


def _serve(control: socket.socket) -> None:
    with control.makefile("rb") as stream:
        request: HostRequest = pickle.load(stream)
        try:
            heard = Heard()
            try:
                hosted = _open(request, heard)
            except Exception as error:  # every provider has errors of its own
                traceback.print_exc()
                control.sendall(pickle.dumps(_told(error, request.spec, heard)))
                return
            try:
                _host(request, hosted, control, stream)
            finally:
                _close(hosted.cluster)
        finally:
            shutil.rmtree(request.folder, ignore_errors=True)


def _host(request: HostRequest, hosted: Hosted, control: socket.socket, stream: Any) -> None:
    if request.standing is None:
        control.sendall(pickle.dumps(hosted.answer))
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                told = pickle.load(stream)
                if told == REPORT:
                    control.sendall(pickle.dumps((REPORT, hosted.report())))
                elif told == USED:
                    control.sendall(pickle.dumps((USED, hosted.used_seconds)))
                else:
                    hosted.expect(told)
        return
    from cluster.standing_host import StandingHost

    with StandingHost(request, hosted) as standing:
        control.sendall(pickle.dumps(hosted.answer))
        control.close()
        standing.serve()


def _open(request: HostRequest, heard: Heard) -> Hosted:
    import dask

    spec, provider = request.spec, request.spec.find_provider()
    dask.config.set(_CONFIG)
    tls = tls_of(spec.options, provider.listens_beyond_loopback(spec.options))
    opening = Opening(spec.name or spec.provider, Path(request.folder), tls)
    cluster = provider.open(spec.options, opening)
    try:
        _refuse_inside(cluster, spec)
        adaptive = _size(cluster, spec, request.used_seconds)
    except BaseException:  # SystemExit, when it is to end, as well: no cluster stays behind
        _close(cluster)
        raise
    answer = HostAnswer(
        cluster.scheduler_address,
        tls or tls_of_security(getattr(cluster, "security", None)),
        _dashboard(cluster, spec),
    )
    return Hosted(cluster, adaptive, answer, partial(provider.report, cluster), heard)


def _refuse_inside(cluster: Any, spec: ClusterSpec) -> None:
    """Refuse a cluster that nobody else can connect to.

    Raises:
        ClusterError: its scheduler speaks only with the process that it is in.
    """
    if cluster.scheduler_address.startswith("inproc:"):
        raise ClusterError(
            f"The scheduler of {spec.where} cannot be reached from another process.",
            hint='Give its class other arguments, such as kwargs = {protocol = "tcp://"}.',
        )


def _size(cluster: Any, spec: ClusterSpec, used_seconds: float) -> FollowsWork | None:
    """Give a cluster the size that its spec asks for; who sizes it, if it follows the work."""
    adapt = getattr(spec.options, "adapt", None)
    workers = getattr(spec.options, "workers", None)
    if adapt is not None:
        from cluster.adapting import adapt as adapt_cluster

        return adapt_cluster(cluster, adapt.arguments(), used_seconds=used_seconds)
    if workers is not None and spec.provider != "local":
        cluster.scale(workers)
    return None


def _dashboard(cluster: Any, spec: ClusterSpec) -> str | None:
    """The link of the dashboard, if there is one."""
    if getattr(spec.options, "dashboard", True) is False:
        return None
    with contextlib.suppress(Exception):
        return cluster.dashboard_link or None
    return None


def _close(cluster: Any) -> None:
    """End a cluster; who does not end in time is ended with this process."""
    begun = time.monotonic()
    with contextlib.suppress(Exception):
        cluster.close(timeout=_CLOSE_SECONDS)
        return
    if time.monotonic() - begun < _CLOSE_SECONDS:  # its class takes no time limit
        with contextlib.suppress(Exception):
            cluster.close()


def _told(error: Exception, spec: ClusterSpec, heard: Heard) -> DataflowError:
    """What is told whoever asked: errors of ours as they are, others with what was said last."""
    if isinstance(error, DataflowError):
        error.__cause__ = None
        return error
    from cluster.host import told

    said = "".join(f"\n  {line}" for line in heard.last())
    return RunnerUnavailable(f"{spec.where} did not start: {hide_secrets(told(error) + said)}")
