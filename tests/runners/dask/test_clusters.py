"""Which cluster a Dask runner uses: its own, one that was given, one that grows, none at all."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.connecting import connect
from cluster.local import LocalDaskCluster
from dataflow import flow, records, task
from dataflow.errors import RunnerUnavailable, VersionMismatch
from runners.dask import DaskTaskRunner
from runners.dask import messages as dask_messages
from runners.dask.messages import Message, check_versions, versions_to_be
from tests.runners.dask.pool import eventually, session_of
from tests.runners.programs import wait_until


@task
def where(_: int) -> int:
    return os.getpid()


@task
def nap(number: int) -> int:
    time.sleep(0.02)
    return number


def pids_on(runner: DaskTaskRunner, count: int = 8) -> set[int]:
    @flow(task_runner=runner)
    def asked() -> set[int]:
        return set(where.map(range(count)).result())

    return asked()


@pytest.fixture(scope="module")
def given() -> Iterator[LocalDaskCluster]:
    cluster = LocalDaskCluster(n_workers=1, threads_per_worker=2)
    yield cluster
    cluster.close()


def test_an_address(given: LocalDaskCluster) -> None:
    with DaskTaskRunner(given.address) as runner:
        assert len(pids_on(runner)) == 1
        assert runner.slots == 2
    client = connect(given.address)  # it goes on
    client.close()


def test_a_client_that_is_given_is_left_alone(given: LocalDaskCluster) -> None:
    client = connect(given.address)
    try:
        with DaskTaskRunner(client=client) as runner:
            assert len(pids_on(runner)) == 1
        assert client.submit(sum, [1, 2]).result() == 3
    finally:
        client.close()


def test_on_a_cluster_of_others_calls_are_interrupted_until_they_end(
    given: LocalDaskCluster, tmp_path: Path
) -> None:
    """Its workers are not ended, whatever a call does about being interrupted."""

    @task
    def stubborn(folder):
        (Path(folder) / f"begun-{os.getpid()}").touch()
        for _ in range(3):
            with contextlib.suppress(BaseException):
                while True:
                    time.sleep(0.01)
        while True:
            time.sleep(0.01)

    with DaskTaskRunner(given.address) as runner:
        before = pids_on(runner)

        @flow(task_runner=runner)
        def whole():
            futures = [stubborn.submit(str(tmp_path)) for _ in range(4)]
            wait_until(lambda: any(tmp_path.iterdir()), "none began")
            assert all(future.cancel() for future in futures)
            return where.map(range(8)).result(timeout=60)

        assert set(whole()) <= before


def test_a_cluster_that_is_given_is_left_alone() -> None:
    from distributed import LocalCluster

    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False}
    with LocalCluster(**options, dashboard_address=None, silence_logs=50) as cluster:
        with DaskTaskRunner(cluster=cluster) as runner:
            assert pids_on(runner) == {os.getpid()}
        assert cluster.status.name == "running"


@pytest.mark.parametrize("named", ["distributed:LocalCluster", "distributed.LocalCluster"])
def test_a_cluster_class(named: str) -> None:
    options = {
        "n_workers": 1,
        "processes": False,
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
    }
    with DaskTaskRunner(cluster_class=named, cluster_kwargs=options) as runner:
        assert pids_on(runner) == {os.getpid()}


def test_what_cannot_be_said_together() -> None:
    with pytest.raises(ValueError, match="address and client"):
        DaskTaskRunner("tcp://a:1", client=object())
    with pytest.raises(ValueError, match="address names one"):
        DaskTaskRunner("tcp://a:1", cluster_kwargs={"n_workers": 1})
    with pytest.raises(ValueError, match="adapt_kwargs"):
        DaskTaskRunner("tcp://a:1", adapt_kwargs={"maximum": 1})


def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLOW_DASK_CONNECT_SECONDS", "0.5")

    @flow(task_runner=DaskTaskRunner("tcp://127.0.0.1:1"))
    def lonely() -> Any:
        return nap.map(range(3)).result()

    with pytest.raises(RunnerUnavailable, match="could not be reached"):
        lonely()
    (run,) = records.runs(flow_name="lonely")
    assert [node.counts for node in run.nodes()] == [{"Crashed": 3}]


def test_a_program_without_a_main_guard(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "program.py"
    script.write_text(
        "from dataflow import flow, task\n"
        "print('begun')\n"
        "@task\ndef inc(x): return x + 1\n"
        "@flow(task_runner='dask')\ndef add(): return sum(inc.map(range(10)).result())\n"
        "print(add())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("begun\n55\n", "", 0)


def test_resources() -> None:
    @task(resources={"GPU": 1})
    def on_gpu(number: int) -> int:
        return number + 1

    @flow
    def computed() -> Any:
        return on_gpu.submit(nap.submit(1)).result()

    options = {"n_workers": 1, "resources": {"GPU": 1}}
    with DaskTaskRunner(cluster_kwargs=options) as runner:
        assert computed.with_options(task_runner=runner)() == 2
    with pytest.raises(RunnerUnavailable, match=r"task 'on_gpu' needs \(GPU: 1\)"):
        computed.with_options(task_runner="dask")()


def test_logs_come_while_a_task_runs(tmp_path: Path) -> None:
    from dataflow import get_run_logger

    marker = tmp_path / "read"

    @task
    def talks() -> None:
        get_run_logger().info("first")
        while not marker.exists():
            time.sleep(0.01)
        get_run_logger().info("second")

    @flow(task_runner="dask")
    def told() -> Any:
        future = talks.submit()
        (run,) = records.runs(flow_name="told")
        early = eventually(lambda: "first" in messages(run))
        marker.touch()
        future.wait()
        return early

    def messages(run: Any) -> list[str]:
        return [line.message for line in run.logs() if line.node is not None]

    assert told()
    (run,) = records.runs(flow_name="told")
    assert messages(run) == ["first", "second"]


def test_a_worker_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = versions_to_be(("numpy",))
    message = Message(wanted, "client", 1, [], {}, b"", 1, False, False, None)
    check_versions(message)
    others = {"dataflow": "99.0", "numpy": "0.1"}
    monkeypatch.setattr(dask_messages, "versions_to_be", lambda packages=(): {**wanted, **others})
    with pytest.raises(
        VersionMismatch, match=rf"{socket.gethostname()} .*99\.0 \(!\).* 0\.1 \(!\)"
    ):
        check_versions(message)
    message.versions = None
    check_versions(message)


def test_other_versions_on_a_cluster_that_a_class_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are looked at, as those of any other cluster are."""
    from cluster import versions

    monkeypatch.setattr(
        versions, "find_mismatch", lambda ours, theirs: VersionMismatch(f"{ours} {theirs}")
    )
    options = {"n_workers": 1, "processes": False, "dashboard_address": None, "silence_logs": 50}
    with (
        DaskTaskRunner(cluster_class="distributed:LocalCluster", cluster_kwargs=options) as runner,
        pytest.raises(VersionMismatch),
    ):
        pids_on(runner)


def test_a_runner_that_was_closed_can_be_used_again() -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as runner:
        first = pids_on(runner)
    assert runner._session is None
    second = pids_on(runner)
    assert first.isdisjoint(second)
    assert session_of(runner).closed is False
    runner.close()
