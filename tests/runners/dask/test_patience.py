"""Runs that wait for workers which do not come, or not again: for how long, and what is said."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import standing
from cluster.spec import ClusterSpec
from dataflow import DaskTaskRunner, flow, records, task
from dataflow.errors import RunnerUnavailable
from runners.dask.patience import Patience
from tests.cluster import real_servers
from tests.runners.dask.pool import client_of, eventually
from tests.runners.far_cluster import far_cluster

GPU = (("GPU", 1.0),)


def is_over_only_when(happened: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have patience last until something has happened, however long a busy machine takes to it."""
    is_over = Patience.is_over
    monkeypatch.setattr(
        Patience, "is_over", lambda self, waited: is_over(self, waited) and happened()
    )


def test_patience_counts_how_long_nobody_could_do_it() -> None:
    patience = Patience(10.0)
    assert patience.look([(), GPU], [{}], 100.0) == {GPU: 0.0}
    assert patience.look([(), GPU], [], 104.0) == {(): 0.0, GPU: 4.0}
    assert patience.look([GPU], [], 107.0) == {GPU: 7.0}
    assert not patience.is_over(7.0)
    assert patience.look([GPU], [{}, {"GPU": 1.0}], 108.0) == {}
    assert patience.look([GPU], [{"GPU": 0.5}], 110.0) == {GPU: 0.0}
    assert patience.look([(), GPU], [{}], 10_000.0) == {GPU: 5.0}  # the machine had stood still
    assert patience.look([], [], 10_001.0) == {}
    assert patience.is_over(10.0)


def test_patience_says_what_it_waits_for_more_and_more_rarely() -> None:
    patience = Patience(1e9)
    said = []
    for now in range(1000):
        patience.look([()], [], float(now))
        if patience.should_say():
            said.append(now)
    assert said == [60, 120, 240, 480, 960]
    patience.look([()], [{}], 1000.0)
    assert not patience.should_say()


@task
def number(value: int) -> int:
    return value


@flow
def numbers(count: int) -> list[int]:
    return list(number.map(range(count)).result())


def error_of(spec: ClusterSpec, count: int = 3) -> str:
    """What a run on a cluster without workers ends with; its records say so too."""
    with (
        DaskTaskRunner(cluster=spec) as runner,
        pytest.raises(RunnerUnavailable) as caught,
    ):
        numbers.with_options(task_runner=runner)(count)
    run = records.runs(flow_name="numbers")[0]
    assert [dict(node.counts) for node in run.nodes()] == [{"Crashed": count}]
    assert run.state.name == "Failed"
    return str(caught.value)


def test_a_cluster_of_this_machine_without_workers(home: Path) -> None:
    said = error_of(ClusterSpec("local", name="lab", workers=0, patience_seconds=1.0))
    assert re.search(r"Cluster 'lab' has had no worker for [\d.]+ s, while 1 batch", said)
    assert "Its provider reports:\n  workers asked for: 0" in said
    assert "patience_seconds in the cluster's spec" in said


def test_a_scheduler_without_workers(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far") as far:
        said = error_of(ClusterSpec("address", address=far.address, patience_seconds=1.0))
    assert re.search(r"has had no worker for [\d.]+ s", said)
    assert "Its scheduler answers, and has 0 workers" in said


def test_a_run_that_has_failed_so_is_resumed_when_there_are_workers(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far") as far:
        spec = ClusterSpec("address", address=far.address, patience_seconds=1.0)
        error_of(spec)
        (run,) = records.runs(flow_name="numbers")
        far.start_worker()
        far.wait_for_workers(1)
        with DaskTaskRunner(cluster=spec) as runner:
            assert numbers.with_options(task_runner=runner).resume(run.id) == [0, 1, 2]


@task(batch_size=1, persist_result=True)
def die_second(value: int, folder: Path) -> int:
    (folder / f"call-{value}-{os.getpid()}").touch()
    if value and not (folder / "healed").exists():
        os._exit(3)
    return value


@flow
def dies(folder: Path) -> list[int]:
    first = die_second.submit(0, folder)
    assert first.result() == 0
    rest = [die_second.submit(each, folder) for each in (1, 2)]
    return [first.result(), *(each.result() for each in rest)]


def test_workers_that_die_and_do_not_come_back(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is started anew fails at once, which its nanny takes for good."""
    preload = tmp_path / "breaks.py"
    preload.write_text(
        "from pathlib import Path\n"
        f"mark = Path({str(tmp_path)!r}, 'started')\n"
        "import os\n"
        "if mark.exists() and mark.read_text() != str(os.getpid()):\n"  # Dask imports it twice
        "    mark.with_name('failed').touch()\n"
        "    raise RuntimeError('the disk is full')\n"
        "mark.write_text(str(os.getpid()))\n"
    )
    failed = tmp_path / "failed"
    is_over_only_when(
        lambda: failed.exists() and time.time() - failed.stat().st_mtime > 1, monkeypatch
    )
    spec = ClusterSpec("local", workers=1, patience_seconds=1.0, preload=[str(preload)])
    with (
        DaskTaskRunner(cluster=spec) as runner,
        pytest.raises(RunnerUnavailable, match="has had no worker for") as caught,
    ):
        dies.with_options(task_runner=runner)(tmp_path)
    assert re.search(r"Worker process \d+ exited with status 3", str(caught.value))
    assert "RuntimeError: the disk is full" in str(caught.value)
    (run,) = records.runs(flow_name="dies")
    assert [dict(node.counts) for node in run.nodes()] == [
        {"Completed": 1},
        {"Crashed": 1},
        {"Crashed": 1},
    ]
    (tmp_path / "healed").touch()
    assert dies.resume(run.id) == [0, 1, 2]
    assert len(list(tmp_path.glob("call-0-*"))) == 1


def test_workers_of_a_standing_cluster(home: Path) -> None:
    record, _ = standing.start("lab", ClusterSpec("local", name="lab", workers=0))
    try:
        with standing.Control(record) as control:
            assert control.report() == "workers asked for: 0"
    finally:
        standing.stop(record)


def test_while_it_waits_it_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runners.dask import patience as dask_patience

    monkeypatch.setattr(dask_patience, "_SAY_SECONDS", 0.5)
    with (
        caplog.at_level(logging.WARNING, "dataflow.cluster"),
        far_cluster(tmp_path / "far") as far,
        DaskTaskRunner(far.address) as runner,
    ):

        @flow(task_runner=runner)
        def waits() -> int:
            future = number.submit(7)
            assert eventually(lambda: "has had no worker for" in caplog.text, 60)
            far.start_worker()
            return int(future.result())

        assert waits() == 7


# --- what providers report ------------------------------------------------------------------------


def slurm_spec(text: str, **more: Any) -> ClusterSpec:
    return ClusterSpec("slurm", **{"workers": 1, **tomllib.loads(text), **more})


def slurm_jobs() -> str:
    asked = ["scontrol", "show", "jobs"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def test_jobs_that_slurm_does_not_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with real_servers.slurm() as text:
        held = error_of(slurm_spec(text, directives=["--hold"], patience_seconds=1.0))
        assert re.search(r"job \d+: PENDING, reason JobHeldUser", held)
        python = slurm_spec(text, python="/no/such/python", patience_seconds=1.0)
        with monkeypatch.context() as patient:
            is_over_only_when(lambda: "JobState=FAILED" in slurm_jobs(), patient)
            broken = error_of(python)
        assert re.search(r"job \d+: FAILED, reason NonZeroExitCode, exit 127:0", broken)
        assert "/no/such/python: No such file" in broken
        elsewhere = {"queue": "nowhere", "patience_seconds": 3.0}
        with (
            DaskTaskRunner(cluster=slurm_spec(text, **elsewhere)) as runner,
            pytest.raises(RunnerUnavailable, match=r"did not start: (?s:.*)invalid partition"),
        ):
            numbers.with_options(task_runner=runner)(1)
        refused = error_of(slurm_spec(text, workers=None, adapt={"maximum": 1}, **elsewhere))
        assert "\n  jobs submitted: 0" in refused
        assert re.search(r"said: a job was refused: .*invalid partition", refused)
        assert slurm_spec(text).options.patience_seconds == 86_400  # type: ignore[attr-defined]


def test_hosts_without_python(home: Path) -> None:
    with real_servers.ssh_server() as text:
        spec = ClusterSpec("ssh", name="far", python="/no/such/python", **tomllib.loads(text))
        with (
            DaskTaskRunner(cluster=spec) as runner,
            pytest.raises(
                RunnerUnavailable, match=r"'far' did not start(?s:.*)/no/such/python.*No"
            ),
        ):
            numbers.with_options(task_runner=runner)(1)


def test_processes_over_ssh_that_are_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    is_over_only_when(lambda: bool(killed), monkeypatch)
    with real_servers.ssh_server() as text:
        spec = ClusterSpec("ssh", name="far", patience_seconds=1.0, **tomllib.loads(text))
        with DaskTaskRunner(cluster=spec) as runner:
            assert numbers.with_options(task_runner=runner)(2) == [0, 1]
            for pid in client_of(runner).run(os.getpid, nanny=True).values():
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: not client_of(runner).nthreads(), 60)
            with pytest.raises(RunnerUnavailable, match="'far' has had no worker") as caught:
                numbers.with_options(task_runner=runner)(3)
    assert re.search(
        r"worker 127.0.0.1-0( on 127.0.0.1: its process ended|: gone)", str(caught.value)
    )


def test_what_a_gateway_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_PASSWORD", real_servers.PASSWORD)
    with real_servers.gateway() as text:
        spec = ClusterSpec("gateway", workers=0, patience_seconds=1.0, **tomllib.loads(text))
        assert re.search(r"the gateway says that \S+ is running", error_of(spec))


# --- what is large and waits for a worker ---------------------------------------------------------

LARGE = 1_000_000


@task
def measure(value: bytes, number: int) -> int:
    return len(value) + number


def is_sent(runner: DaskTaskRunner) -> bool:
    """Whether its batch has been given to Dask, though there are no workers."""
    return runner._session is not None and bool(runner._session.under_way())


def test_what_waits_for_a_large_value_can_be_cancelled(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far") as far, DaskTaskRunner(far.address) as runner:

        @flow(task_runner=runner, fail_on_unhandled=False)
        def waits() -> list[str]:
            large = measure.map(bytes(LARGE), range(2))
            assert eventually(lambda: is_sent(runner), 60)
            large.cancel()
            large.wait()
            return [state.name for state in large.states()]

        assert waits() == ["Cancelled"] * 2


def test_what_waits_for_a_large_value_is_done_when_a_worker_comes(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far") as far, DaskTaskRunner(far.address) as runner:

        @flow(task_runner=runner)
        def waits() -> Any:
            large = measure.map(bytes(LARGE), range(2))
            assert eventually(lambda: is_sent(runner), 60)
            far.start_worker()
            return large.result()

        assert waits() == [LARGE, LARGE + 1]


def test_patience_holds_for_what_waits_for_a_large_value(tmp_path: Path) -> None:
    with far_cluster(tmp_path / "far") as far:
        spec = ClusterSpec("address", address=far.address, patience_seconds=1.0)
        with DaskTaskRunner(cluster=spec) as runner:

            @flow(task_runner=runner)
            def waits() -> Any:
                return measure.map(bytes(LARGE), range(2)).result()

            with pytest.raises(RunnerUnavailable, match="has had no worker for"):
                waits()
