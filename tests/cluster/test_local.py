"""The cluster of this machine: it starts, it is quiet, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dask.config import get as get_config
from dask.utils import parse_timedelta

from cluster.connecting import connect
from cluster.local import LocalDaskCluster
from cluster.local_provider import LocalProvider
from dataflow import DaskTaskRunner, flow, task
from dataflow.errors import RunnerUnavailable
from dataflow.plugins import load_plugin
from tests.runners.programs import is_alive, wait_until


def test_it_answers_at_its_address(local: LocalDaskCluster) -> None:
    client = connect(local.address)
    try:
        assert local.address.startswith("tcp://127.0.0.1:")
        assert list(client.nthreads().values()) == [1]
        assert client.submit(sum, [1, 2, 3]).result() == 6
    finally:
        client.close()


def test_it_runs_elsewhere(local: LocalDaskCluster) -> None:
    client = connect(local.address)
    try:
        assert client.run_on_scheduler(os.getpid) != os.getpid()
        assert os.getpid() not in client.run(os.getpid).values()
    finally:
        client.close()


def test_a_nanny_whose_worker_is_away_for_a_moment_is_not_given_up(local: LocalDaskCluster) -> None:
    """Dask looks 15 s after each death; the cluster was the smaller for what it saw."""
    client = connect(local.address)
    try:
        patience = client.run_on_scheduler(get_config, "distributed.deploy.lost-worker-timeout")
        assert parse_timedelta(patience) > 24 * 3600
    finally:
        client.close()


def test_a_worker_that_comes_late_does_not_wait_for_work(local: LocalDaskCluster) -> None:
    """The first of those that replace others gets all that waits; Dask looks once a second."""
    client = connect(local.address)
    try:
        pause = client.run_on_scheduler(_pause_of_stealing)
        assert pause <= 200
    finally:
        client.close()


def _pause_of_stealing(dask_scheduler: Any) -> float:
    """In milliseconds."""
    return float(dask_scheduler.periodic_callbacks["stealing"].callback_time)


def test_a_worker_that_should_have_a_task_dies_when_it_is_the_only_one() -> None:
    """Dask would wait for it, though the task may go to others."""
    cluster = LocalDaskCluster(n_workers=1)
    client = connect(cluster.address)
    try:
        (address,) = client.nthreads()
        wanted = {"workers": [address], "allow_other_workers": True, "pure": False}
        first = client.submit(os.getpid, **wanted)
        pid = first.result()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: address not in client.nthreads(), "it is still there")
        second = client.submit(os.getpid, **wanted)
        found = {future.result(timeout=60) for future in (first, second)}
        assert len(found) == 1
        assert pid not in found
    finally:
        client.close()
        cluster.close()


LOADED = "{'wave', 'runners.dask.line_worker'} <= set(__import__('sys').modules)"


def test_what_it_was_made_with() -> None:
    cluster = LocalDaskCluster(
        n_workers=1, threads_per_worker=3, resources={"GPU": 1}, preload="wave"
    )
    client = connect(cluster.address)
    try:
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["nthreads"] == 3
        assert worker["resources"] == {"GPU": 1}
        loaded = client.run(eval, LOADED)
        assert list(loaded.values()) == [True]
    finally:
        client.close()
        cluster.close()


def test_tls_on_request(home: Path) -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1, "security": True}) as runner:

        @flow(task_runner=runner)
        def added() -> int:
            return task(sum).submit([1, 2]).result()

        assert added() == 3
        assert runner._session is not None and runner._session._connection is not None
        assert runner._session._connection.client.scheduler.address.startswith("tls://")


def test_what_it_cannot_be_made_with() -> None:
    with pytest.raises(RunnerUnavailable, match=r"did not start: .*no_such_option"):
        LocalDaskCluster(n_workers=1, no_such_option=1)


def test_the_entry_point() -> None:
    assert load_plugin("dataflow.clusters", "local") is LocalProvider


PROGRAM = """
import os, signal
from cluster.connecting import connect
from cluster.local import LocalDaskCluster

cluster = LocalDaskCluster(workers=1)
client = connect(cluster.address)
pids = [client.run_on_scheduler(os.getpid), *client.run(os.getpid).values()]
print(*pids, flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end",
    ["client.close(); cluster.close()", "client.close()", "os.kill(os.getpid(), signal.SIGKILL)"],
    ids=["closed", "exited", "killed"],
)
def test_it_ends_with_the_process_that_made_it(end: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(end=end))
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    assert done.stderr == ""
    deadline = time.monotonic() + 60
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))
