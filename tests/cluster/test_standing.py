"""Clusters that outlive the command: found by name, shared, and gone when they should be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster import standing
from cluster.connecting import connect
from cluster.opening import find_cluster
from cluster.spec import ClusterSpec
from cluster.standing_records import StandingRecord, all_records, find_record
from dataflow import DaskTaskRunner, flow, task
from dataflow.errors import ClusterError, ClusterNotFound, RunnerUnavailable
from dataflow.process_ids import is_gone
from tests.cluster import real_servers
from tests.runners.programs import is_alive

ROOT = Path(__file__).resolve().parents[2]

FLOWS = """
import os
from dataflow import flow, task

VERSION = 1

@task
def pid(number):
    return os.getpid(), VERSION

@flow
def pids(count: int = 4):
    return pid.map(range(count)).result()
"""


@task
def where(_: int) -> int:
    return os.getpid()


@flow
def pids(count: int = 4) -> set[int]:
    return set(where.map(range(count)).result())


@pytest.fixture
def started(home: Path) -> Iterator[Callable[..., StandingRecord]]:
    """Starts clusters that end with the test."""

    def start(name: str = "lab", provider: str = "local", **options: Any) -> StandingRecord:
        if provider == "local":
            options = {"workers": 0, **options}
        return standing.start(name, ClusterSpec(provider, name=name, **options))[0]

    yield start
    for record in all_records():
        standing.stop(record)


def eventually(is_so: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until it is so; fails if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_runs_share_it(started: Callable[..., StandingRecord], home: Path) -> None:
    record = started(workers=1)
    found = [pids.with_options(task_runner=DaskTaskRunner(cluster="lab"))() for _ in range(2)]
    assert found[0] == found[1]  # the same worker
    assert os.getpid() not in found[0]
    results: list[set[int]] = []
    runners = [DaskTaskRunner(cluster="lab") for _ in range(3)]
    threads = [
        threading.Thread(target=lambda r=r: results.append(pids.with_options(task_runner=r)(50)))
        for r in runners
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [found[0]] * 3
    for runner in runners:
        runner.close()
    assert find_record("lab") == record
    again, is_new = standing.start("lab", ClusterSpec("local", name="lab"))
    assert (again, is_new) == (record, False)


def test_what_is_written_down_and_what_is_left(
    started: Callable[..., StandingRecord], home: Path
) -> None:
    record = started(workers=1, security=True)
    folder = home / "clusters"
    assert record.address.startswith("tls://")
    assert folder.stat().st_mode & 0o777 == 0o700
    written = folder / "lab.json"
    assert written.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" in written.read_text()
    assert "PRIVATE" not in (folder / "lab.log").read_text() + repr(record)
    command = Path(f"/proc/{record.process.pid}/cmdline")
    assert "PRIVATE" not in (command.read_text() if command.exists() else "")

    client = connect(record.address, security=record.security)
    client.wait_for_workers(1, timeout=60)
    workers = list(client.run(os.getpid).values())
    client.close()
    standing.stop(record)
    eventually(lambda: not any(map(is_alive, [*workers, record.process.pid])))
    assert {path.name for path in folder.iterdir()} == {"lab.log", "lab.lock"}
    assert not Path(record.control).parent.exists()
    with pytest.raises(ClusterNotFound):
        find_cluster("lab")
    with pytest.raises(RunnerUnavailable):
        connect(record.address, security=record.security, seconds=0.5)


def test_what_reads_specs_is_not_loaded_for_one_that_runs(
    started: Callable[..., StandingRecord], home: Path
) -> None:
    """It would be a sixth of what a run on it costs."""
    started(workers=0, resources={"GPU": 1}, packages=["numpy"], patience_seconds=7)
    code = (
        "import sys; from cluster.opening import find_cluster, open_cluster; "
        "found = open_cluster(find_cluster('lab')); "
        "print(found.offers, found.needs.packages, found.needs.patience_seconds); "
        "assert 'pydantic' not in sys.modules"
    )
    environment = {**os.environ, "DATAFLOW_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("{'GPU': 1.0} ('numpy',) 7.0\n", "")


def has_workers(client: Any, count: int) -> bool:
    return len(client.nthreads()) == count


def test_its_size(started: Callable[..., StandingRecord]) -> None:
    record = started(workers=0)
    client = connect(record.address)
    try:
        for size in (2, 1):
            with standing.Control(record) as control:
                control.ask("scale", workers=size)
            eventually(partial(has_workers, client, size))
    finally:
        client.close()


def test_a_size_that_cannot_be_changed(started: Callable[..., StandingRecord]) -> None:
    with real_servers.ssh_server() as text:
        record = started(provider="ssh", **tomllib.loads(text))
        with standing.Control(record) as control:
            assert control.ask("info")["size"] == "1 worker(s): those that it was made with"
            with pytest.raises(ClusterError, match="the hosts that are listed there"):
                control.ask("scale", workers=2)
        standing.stop(record)


def test_a_size_that_follows_the_work(started: Callable[..., StandingRecord]) -> None:
    record = started(workers=None, adapt={"maximum": 1, "interval": "100ms"})
    with DaskTaskRunner(cluster="lab") as runner:
        assert runner.is_elastic
        assert len(pids.with_options(task_runner=runner)()) == 1
    with pytest.raises(ClusterError, match="follows the work"), standing.Control(record) as control:
        control.ask("scale", workers=2)


def test_it_ends_when_nobody_has_used_it_for_long_enough(
    started: Callable[..., StandingRecord], home: Path
) -> None:
    record, client, idle_seconds = in_time(started)
    try:
        used_until = time.monotonic() + 2 * idle_seconds + 0.5
        while time.monotonic() < used_until:  # a client is there
            assert find_record("lab") is not None
            time.sleep(0.1)
    finally:
        client.close()
    eventually(lambda: find_record("lab") is None and is_gone(record.process))
    said = f"nobody has used it for {idle_seconds:g} s"
    assert said in (home / "clusters" / "lab.log").read_text()


def in_time(started: Callable[..., StandingRecord]) -> tuple[StandingRecord, Any, float]:
    """A cluster, a client that came before it had been idle for too long, and how long that is."""
    for idle_seconds in (0.5, 2.0, 8.0, 30.0):  # a machine may have other things to do
        record = started(idle_seconds=idle_seconds)
        with contextlib.suppress(RunnerUnavailable):
            client = connect(record.address, seconds=5)
            time.sleep(1)  # it may have made up its mind just before
            if find_record("lab") is not None:
                return record, client, idle_seconds
            client.close()
        eventually(partial(is_gone, record.process))
    raise AssertionError("nobody can connect to it in time")


def test_one_that_was_killed_is_forgotten(started: Callable[..., StandingRecord]) -> None:
    record = started()
    os.killpg(record.process.pid, signal.SIGKILL)
    eventually(lambda: is_gone(record.process))
    assert find_record("lab") is None
    assert not Path(record.control).parent.exists()
    assert started().process != record.process


def test_a_host_that_does_not_answer_is_killed(
    started: Callable[..., StandingRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = started()
    monkeypatch.setattr(standing, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(standing, "_STOP_SECONDS", 0.5)
    os.kill(record.process.pid, signal.SIGSTOP)
    with pytest.raises(ClusterError, match="does not answer"), standing.Control(record) as control:
        control.ask("info")
    standing.stop(record)
    assert is_gone(record.process)


def test_one_is_started_though_two_ask(started: Callable[..., StandingRecord]) -> None:
    found: list[StandingRecord] = []
    threads = [threading.Thread(target=lambda: found.append(started())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]


def test_one_of_another_machine(started: Callable[..., StandingRecord], home: Path) -> None:
    """Seen through a shared home: it can be used, but only there be told anything."""
    record = started(workers=1)
    path = home / "clusters" / "lab.json"
    text = path.read_text()
    elsewhere = json.loads(text) | {"process": ["far/1/2", 1, "3"]}
    try:
        path.write_text(json.dumps(elsewhere))
        found = find_record("lab")
        assert found is not None and found.host == "far"
        assert len(pids.with_options(task_runner=DaskTaskRunner(cluster="lab"))()) == 1
        with pytest.raises(ClusterError, match="on far"):
            standing.stop(found)
    finally:
        path.write_text(text)
    assert find_record("lab") == record


def test_what_cannot_be_started(started: Callable[..., StandingRecord], home: Path) -> None:
    with pytest.raises(ClusterError, match="somebody else has started"):
        started(provider="address", address="tcp://a:1")
    with pytest.raises(RunnerUnavailable, match="no_such_option"):
        started(workers=1, kwargs={"no_such_option": 1})
    assert all_records() == []
    (home / "clusters" / "torn.json").write_text("{")
    with pytest.raises(ClusterError, match=r"torn\.json cannot be understood"):
        all_records()
    (home / "clusters" / "torn.json").unlink()


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """``dataflow`` in a folder with a home of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATAFLOW_")}
    environment |= {"DATAFLOW_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # as old as a file written anew

    def run(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dataflow", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    yield run
    with contextlib.suppress(AssertionError):
        run("cluster", "stop", "lab")


def test_the_life_of_a_cluster(command: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "dataflow.toml").write_text(
        "[clusters.lab]\nworkers = 1\nsecurity = true\ndashboard = true\n"
        "[clusters.gate]\nprovider = 'gateway'\npassword = 't0psecret'\n"
    )
    assert "Start it: dataflow cluster start lab" in command("cluster", "stop", "lab", status=2)
    assert "Cluster lab runs at tls://127.0.0.1:" in command("cluster", "start", "lab")
    assert "runs already" in command("cluster", "start", "lab")
    assert "stop lab" in command("cluster", "start", "lab", "--workers", "2", status=2)
    listed = json.loads(command("cluster", "ls", "--json"))
    assert [(each["name"], each.get("tls")) for each in listed] == [("gate", None), ("lab", True)]
    assert [each["provider"] for each in listed] == ["gateway", "local"]
    gate, lab = command("cluster", "ls").splitlines()[1:3]
    assert "gateway" in gate and "tls://" not in gate
    assert "local" in lab and listed[1]["address"] in lab
    shown = command("cluster", "info", "gate")
    assert "password  ***" in shown and "t0psecret" not in shown

    def versions() -> list[Any]:
        text = command("run", "flows.py:pids", "--runner", "dask:lab", "--json")
        return json.loads(text[text.index("{\n") : text.rindex("}") + 1])["result"]

    first = versions()
    (tmp_path / "flows.py").write_text(FLOWS.replace("VERSION = 1", "VERSION = 2"))
    second = versions()
    assert {pid for pid, _ in first} == {pid for pid, _ in second}  # the same worker
    assert ({v for _, v in first}, {v for _, v in second}) == ({1}, {2})  # not the same code

    info = json.loads(command("cluster", "info", "--json"))
    assert (info["workers"], info["threads"], info["clients"], info["runs"]) == (1, 1, 0, True)
    assert "2 worker" in command("cluster", "scale", "2")
    assert command("cluster", "dashboard").startswith("http://127.0.0.1:")
    logs = command("cluster", "logs", "--workers")
    assert "is to have 2 workers" in logs and "scheduler: " in logs
    assert "has ended" in command("cluster", "stop")
    assert "was told to end" in command("cluster", "logs", "lab")
    assert "No cluster runs" in command("cluster", "stop", status=2)


def test_a_cluster_that_only_the_command_line_describes(command: Callable[..., str]) -> None:
    options = ["--provider", "local", "-o", "workers=0", "-o", "adapt.maximum=1", "--idle", "600"]
    command("cluster", "start", "lab", *options)
    assert '{"maximum": 1}' in command("cluster", "info", "lab")
    assert "has no dashboard" in command("cluster", "dashboard", "lab", status=1)
    wrong = command("cluster", "start", "other", "-o", "wokers=1", "--provider", "local", status=2)
    assert "Cluster 'other': there is no field 'wokers', did you mean 'workers'?" in wrong
    assert "no option" in command("cluster", "start", "other", "-o", "workers", status=2)
    assert "There is no cluster 'labs'" in command("cluster", "stop", "labs", status=2)
    assert "cluster" in command("--help")
