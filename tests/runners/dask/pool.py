"""The Dask cluster that the tests of a process share: the one of the runner called "dask"."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from dataflow.execution.runner_choice import choose_runner
from runners.dask import DaskTaskRunner
from runners.dask.lines import DaskLines
from runners.dask.session import DaskSession

LARGE = 200_000
"""Bytes of a value that goes over no line."""


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


def lines_of(runner: DaskTaskRunner) -> DaskLines:
    lines = session_of(runner)._lines
    assert lines is not None
    return lines


def lines_are_ready(runner: DaskTaskRunner) -> bool:
    """Whether each thread that it wanted has a line, and is free, and each worker's event loop.

    And whether the runner knows of all of them: it looks at how many there are now and then. And
    whether Dask has nothing: a report is there a moment before its worker's thread is free.
    """
    wanted = runner._cluster_kwargs
    threads = wanted["n_workers"] * wanted["threads_per_worker"]
    ready = [worker.is_loop for worker in lines_of(runner)._workers if worker.room == 2]
    return (
        sorted(ready) == [False] * threads + [True] * wanted["n_workers"]
        and runner.slots == threads
        and not any(client_of(runner).processing().values())
    )


def tasks_of_dask(runner: DaskTaskRunner) -> int:
    """How many tasks its scheduler was given so far."""
    found: int = client_of(runner).run_on_scheduler(lambda dask_scheduler: dask_scheduler.n_tasks)
    return found


def worker_pids(runner: DaskTaskRunner) -> list[int]:
    """Those of the workers that are there; at least one."""
    found: list[int] = []

    def ask() -> bool:
        answers = client_of(runner).run(os.getpid, on_error="ignore")  # one may be about to end
        found[:] = answers.values()
        return bool(found)

    assert eventually(ask)
    return found


def kill_workers(runner: DaskTaskRunner) -> None:
    for pid in worker_pids(runner):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually(claim: Callable[[], Any], seconds: float = 60.0) -> bool:
    """Wait until it is so, even if that takes the garbage to be collected, once a second."""
    now = time.monotonic()
    deadline, collected = now + seconds, now
    while now < deadline:
        if claim():
            return True
        time.sleep(0.02)
        now = time.monotonic()
        if now - collected > 1:
            gc.collect()
            collected = time.monotonic()
    return False
