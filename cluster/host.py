"""The process that hosts a cluster of this machine: scheduler and nannies, beside the flow's.

It keeps the scheduler's work out of the flow's process, and gives the workers a clean ``__main__``:
a script needs no ``if __name__ == "__main__"``. Workers are forked from a server that has imported
what they need, so that one that died is replaced in tenths of a second. When the flow's process
hangs up, or dies, all of it ends.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import socket
from functools import partial
from multiprocessing import forkserver
from typing import IO, Any

from cluster.heard import Heard
from cluster.host_process import REPORT, USED

_CLOSE_SECONDS = 2.0
_PRELOADED = [
    "distributed",
    "distributed.nanny",
    "distributed.worker",
    "cluster.message_intervals",
    "runners.dask.worker",
    "runners.dask.line_worker",
]


def main(descriptor: int, folder: str) -> None:
    """Host a cluster for whoever is at the other end of a socket, until it hangs up.

    Args:
        descriptor: of the socket.
        folder: what is to be removed in the end.
    """
    control = socket.socket(fileno=descriptor)
    prepare_workers()
    try:
        asyncio.run(_host(control))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # what is left is ended by it


def prepare_workers() -> None:
    """Start the server that workers are forked from; it imports while we do."""
    forkserver.set_forkserver_preload(_PRELOADED)
    forkserver.ensure_running()


async def _host(control: socket.socket) -> None:
    with control.makefile("rb") as stream:
        options = await asyncio.to_thread(pickle.load, stream)
        heard = Heard()
        try:
            cluster, adaptive = await _open_cluster(**options)
        except Exception as error:
            said = [told(error), *heard.last()]
            control.sendall(pickle.dumps({"error": "\n  ".join(said)}))
            return
        control.sendall(pickle.dumps({"address": cluster.scheduler_address}))
        while (message := await asyncio.to_thread(_read, stream)) is not None:
            if message == REPORT:
                control.sendall(pickle.dumps((REPORT, _report(cluster, adaptive, heard))))
            elif message == USED:
                used = 0.0 if adaptive is None else adaptive.used_seconds
                control.sendall(pickle.dumps((USED, used)))
            elif adaptive is not None:
                adaptive.expect(message)
    async with asyncio.timeout(_CLOSE_SECONDS):
        await cluster.close()


def _report(cluster: Any, adaptive: Any, heard: Heard) -> str:
    from cluster.worker_reports import report_of, report_of_workers

    size = None if adaptive is None else str(adaptive.size)
    return report_of(partial(report_of_workers, cluster), heard.last(), size)


def _read(stream: IO[bytes]) -> Any:
    """What remains for the cluster, or what is asked; None: whoever told it has hung up."""
    try:
        return pickle.load(stream)
    except (EOFError, OSError, pickle.UnpicklingError):
        return None


async def _open_cluster(
    config: dict[str, Any],
    kwargs: dict[str, Any],
    adapt: dict[str, Any] | None,
    used_seconds: float,
) -> tuple[Any, Any]:
    """The cluster, and who sizes it, if its size follows the work."""
    import dask
    import distributed.utils
    from distributed import LocalCluster

    distributed.utils._forkserver_preload_set = True  # the list above, not all that is installed
    dask.config.set(config)
    cluster = await LocalCluster(asynchronous=True, **kwargs)  # type: ignore[no-untyped-call]
    if adapt is None:
        return cluster, None
    from cluster import adapting

    return cluster, adapting.adapt(cluster, adapt, used_seconds=used_seconds)


def told(error: BaseException | None) -> str:
    """An error with what caused it, innermost last."""
    causes = []
    while error is not None:
        causes.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return "; because of ".join(dict.fromkeys(causes))
