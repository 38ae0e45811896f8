"""The Dask cluster that the tests of a process share: the one of the runner called "dask"."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from dataflow.execution.runner_choice import choose_runner
from runners.dask import DaskTaskRunner
from runners.dask_session import DaskSession


def shared_runner() -> DaskTaskRunner:
    runner = choose_runner("dask")
    assert isinstance(runner, DaskTaskRunner)
    return runner


def session_of(runner: DaskTaskRunner) -> DaskSession:
    """Its session; the cluster must be there (a flow has run on it)."""
    assert runner._session is not None
    return runner._session


def client_of(runner: DaskTaskRunner) -> Any:
    connection = session_of(runner)._connection
    assert connection is not None
    return connection.client


def worker_pids(runner: DaskTaskRunner) -> list[int]:
    return list(client_of(runner).run(os.getpid).values())


def kill_workers(runner: DaskTaskRunner) -> None:
    for pid in worker_pids(runner):
        os.kill(pid, signal.SIGKILL)


def eventually(claim: Callable[[], Any], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        gc.collect()
        if claim():
            return True
        time.sleep(0.02)
    return False
