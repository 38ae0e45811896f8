"""A Dask cluster on this machine, made for one process.

It ends when it is closed, and with the process that made it, however that ends.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.dask_config import OUR_CONFIG
from cluster.host_process import HostProcess
from dataflow.errors import RunnerUnavailable
from dataflow.execution.runner_protocol import Remaining
from dataflow.settings import get_settings

_START_SECONDS = 60.0
_END_SECONDS = 4.0
_HOST = (
    "import sys; sys.path[:] = {path!r}; sys.argv[:] = {argv!r}; "
    "from cluster.host import main; main({fd}, {folder!r})"
)
_LINES = "lines"
_CONFIG = {
    **OUR_CONFIG,
    # 15 s after a worker has died, Dask gives up its nanny, too, if there is no worker at that very
    # moment, because it has just been ended once more; a nanny brings its worker back in any case
    "distributed.deploy.lost-worker-timeout": "365 days",
}
_PRELOADED = ["cluster.message_intervals", "runners.dask.line_worker"]


class LocalDaskCluster:
    """A cluster of this machine in processes of its own.

    Args:
        workers: how many worker processes; None: the settings' ``workers``, or one for each core.
        adapt: arguments of ``Cluster.adapt``, with which the size follows the work that remains
            (see :meth:`expect`); None: it stays.
        used_seconds: of its ``max_worker_seconds``, that clusters before it have used.
        working_folder: in which its workers work; None: in that of this process.
        preload: what its workers load before their first task, after what we have them load.
        **options: arguments of ``distributed.LocalCluster`` that differ from ours;
            ``security=True`` is TLS with certificates that are made for this cluster.

    Attributes:
        address: of its scheduler.
        boards: a folder in which its workers write down what they are at.
        security: what its clients need, if it was made with any.
        lines: a socket to which its workers connect; None where that cannot be, and if it adapts,
            since Dask retires workers that it has given nothing to.

    Raises:
        RunnerUnavailable: it could not be started.
    """

    def __init__(
        self,
        workers: int | None = None,
        adapt: dict[str, Any] | None = None,
        used_seconds: float = 0.0,
        working_folder: str | None = None,
        preload: str | Sequence[str] = (),
        **options: Any,
    ) -> None:
        kwargs = {
            "n_workers": workers or get_settings().workers or count_cores(),
            "threads_per_worker": 1,
            "dashboard_address": None,
            "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            "silence_logs": logging.CRITICAL + 1,  # deaths and the like: the run tells of them
            **options,
        }
        if kwargs.get("security") is True:
            from cluster.tls import temporary_tls

            kwargs |= {"security": temporary_tls().security(), "protocol": "tls://"}
        if kwargs["dashboard_address"] is not None:
            kwargs["scheduler_kwargs"] = options.get("scheduler_kwargs")
        if adapt is not None and ("n_workers" not in options or used_seconds):
            kwargs["n_workers"] = 0 if used_seconds else adapt.get("minimum", 0)
        self._used_before, self._most = used_seconds, (adapt or {}).get("maximum", math.inf)
        self._folder = tempfile.TemporaryDirectory(
            prefix="dataflow-dask-", ignore_cleanup_errors=True
        )
        self.boards = self._folder.name
        self.security = kwargs.get("security")
        path = f"{self.boards}/{_LINES}"
        self.lines = None if adapt is not None else _listen(path)
        config = {
            **_CONFIG,
            "dataflow.lines": path if self.lines else None,
            "distributed.worker.preload": [*_PRELOADED, *as_list(preload)],
        }
        self._host = self._start_host(working_folder)
        try:
            asked = {"config": config, "kwargs": kwargs, "adapt": adapt}
            self.address = self._introduce({**asked, "used_seconds": used_seconds})
        except BaseException:  # Ctrl-C as well: no host stays behind
            self.close()
            raise

    def _start_host(self, working_folder: str | None) -> HostProcess:
        path, argv = [str(Path(path).absolute()) for path in sys.path], sys.argv
        return HostProcess(
            lambda fd: _HOST.format(path=path, argv=argv, fd=fd, folder=self.boards),
            working_folder=working_folder,
        )

    def _introduce(self, options: dict[str, Any]) -> str:
        """Say what is wanted; the address of the scheduler."""
        import cloudpickle

        control = self._host.control
        control.settimeout(_START_SECONDS)
        try:
            control.sendall(cloudpickle.dumps(options))
            import distributed  # noqa: F401 - we need it too, and it takes as long as the start

            with control.makefile("rb") as stream:
                answer = pickle.load(stream)
        except (OSError, EOFError) as error:
            raise RunnerUnavailable(
                f"The local Dask cluster did not start within {_START_SECONDS:g} seconds "
                f"(exit status {self._host.exit_status})."
            ) from error
        if "error" in answer:
            raise RunnerUnavailable(f"The local Dask cluster did not start: {answer['error']}")
        address: str = answer["address"]
        return address

    def expect(self, remaining: Remaining) -> None:
        """Say what remains: if the cluster adapts, its size follows."""
        self._host.expect(remaining)

    def used_seconds(self) -> float:
        """How long workers have been there, all together, with those of clusters before it."""
        return self._host.used_seconds(self._used_before, self._most)

    def report(self) -> str:
        """What is known of workers that are not there."""
        return self._host.report()

    def close(self) -> None:
        """End its processes."""
        if not self._host.is_own:
            return
        if self.lines is not None:
            self.lines.close()
        self._host.end(_END_SECONDS)
        self._folder.cleanup()


def _listen(path: str) -> socket.socket | None:
    """A socket that processes of this user can connect to; None if there can be none."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
    except OSError:  # the path is too long for the system
        listening.close()
        return None
    listening.listen(1000)
    return listening


def as_list(preload: str | Sequence[str]) -> list[str]:
    """What is to be preloaded, which Dask takes as one text, too."""
    return [preload] if isinstance(preload, str) else list(preload)


def own_resources(given: Mapping[str, float] | None) -> Mapping[str, float]:
    """The resources of workers that were given these: without any, those of Dask's settings."""
    import dask

    named: Mapping[str, float] = given or dask.config.get("distributed.worker.resources", {})
    return named


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
