"""Every provider that can run here makes a real cluster, and a flow runs on it as on any other."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.connecting import connect
from cluster.hosted import HostedCluster
from cluster.local import LocalDaskCluster
from cluster.opening import find_cluster
from cluster.spec import ClusterSpec
from cluster.tls import read_tls
from cluster.versions import by_value
from dataflow import DaskTaskRunner, flow, records, task
from dataflow.errors import ClusterError, RunnerUnavailable
from tests.cluster import real_servers
from tests.cluster.certificates import make_certificates
from tests.runners.programs import is_alive


@task
def number(n: int) -> tuple[int, int]:
    return n, os.getpid()


@task
def double(found: tuple[int, int]) -> int:
    if found[0] == 13:
        raise ValueError("thirteen")
    return 2 * found[0]


@flow
def work(count: int) -> tuple[int, set[int]]:
    numbers = number.map(range(count))
    doubled = double.map(numbers)
    done: list[Any] = [each.result(raise_on_failure=False) for each in doubled]
    assert [str(each) for each in done if isinstance(each, Exception)] == ["thirteen"]
    return (
        sum(each for each in done if not isinstance(each, Exception)),
        {pid for _, pid in numbers.result()},
    )


@contextmanager
def local_scheduler(folder: Path, security: Any = None) -> Iterator[str]:
    more = {"security": security, "protocol": "tls://"} if security is not None else {}
    cluster = LocalDaskCluster(n_workers=1, threads_per_worker=2, **more)
    yield f'address = "{cluster.address}"\n'
    client = connect(cluster.address, security=security)  # it was left as it was
    assert sum(client.nthreads().values()) == 2
    client.close()
    cluster.close()


@contextmanager
def tls_scheduler(folder: Path) -> Iterator[str]:
    from cluster.options import TlsFiles

    files = make_certificates(folder / "certificates")
    with local_scheduler(folder, read_tls(TlsFiles(**files)).security()) as text:
        named = ", ".join(f'{name} = "{path}"' for name, path in files.items())
        yield f"{text}security = {{{named}}}\n"


def only(text: str) -> Callable[[Path], AbstractContextManager[str]]:
    """A provider that needs no server."""

    @contextmanager
    def given(folder: Path) -> Iterator[str]:
        yield text

    return given


def server(name: str) -> Callable[[Path], AbstractContextManager[str]]:
    return lambda folder: getattr(real_servers, name)()


PROVIDERS = {
    "local": ("local", only("workers = 1\nthreads = 2\n"), False),
    "address": ("address", local_scheduler, False),
    "address-tls": ("address", tls_scheduler, True),
    "class": (
        "distributed:LocalCluster",
        only(
            "kwargs = {n_workers = 1, processes = false, protocol = 'tcp://', "
            "dashboard_address = '127.0.0.1:0'}\n"
        ),
        False,
    ),
    "ssh": ("ssh", server("ssh_server"), True),
    "slurm": ("slurm", server("slurm"), True),
    "gateway": ("gateway", server("gateway"), True),
}


def wait_until_gone(address: str, security: Any) -> None:
    """A gateway says that a cluster is closed before it is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connect(address, security=security, seconds=0.5).close()
        except RunnerUnavailable:
            return
    raise AssertionError(f"{address} still answers")


@flow
def one() -> Any:
    return number.submit(1).result()


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_flow_on_a_cluster_of_its_own(
    kind: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_PASSWORD", real_servers.PASSWORD)
    provider, serve, is_encrypted = PROVIDERS[kind]
    with serve(tmp_path) as text:
        more = "security = true\n" if kind == "ssh" else ""
        more += "workers = 1\n" if kind in ("slurm", "gateway") else ""
        home.mkdir(exist_ok=True)
        (home / "dataflow.toml").write_text(
            f'[clusters.lab]\nprovider = "{provider}"\n{text}{more}'
        )
        with DaskTaskRunner.for_name("lab") as runner:
            total, pids = work.with_options(task_runner=runner)(20)
            assert runner._session is not None and runner._session._connection is not None
            client = runner._session._connection.client
            address = client.scheduler.address
        assert total == 2 * sum(range(20)) - 26
        assert os.getpid() not in pids
        assert address.startswith(("tls://", "gateway://")) is is_encrypted
        if provider != "address":
            wait_until_gone(address, client.security)
    (run,) = records.runs(flow_name="work")
    assert run.summary.runner == "dask"
    assert [dict(node.counts) for node in run.nodes()] == [
        {"Completed": 20},
        {"Completed": 19, "Failed": 1},
    ]


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_where_a_real_part_is_missing_ci_fails(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "dask_gateway_server", None)
    for serve in (real_servers.ssh_server, real_servers.slurm, real_servers.gateway):
        with pytest.raises(outcome, match="is not installed"), serve():
            pass


def test_a_scheduler_without_our_certificates_is_refused(tmp_path: Path) -> None:
    with tls_scheduler(tmp_path) as text:
        address = text.split('"')[1]
        for files in (make_certificates(tmp_path / "others"), None):
            more: dict[str, Any] = {} if files is None else {"security": files}
            spec = ClusterSpec("address", address=address, **more)
            found = spec.find_provider().open(spec.options, None)  # type: ignore[arg-type]
            with pytest.raises(RunnerUnavailable, match=r"could not be reached .*(TLS|SSL)"):
                connect(address, security=found.security, seconds=1)


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    from dataflow.errors import SettingsError

    files = {"ca": str(tmp_path / "no-ca.pem"), "cert": "x"}
    spec = ClusterSpec("address", address="tls://a:1", security=files)
    with pytest.raises(SettingsError, match=r"no-ca\.pem cannot be read"):
        spec.find_provider().open(spec.options, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "options", "expected"),
    [
        ("local", {}, False),
        ("local", {"host": "0.0.0.0"}, True),
        ("local", {"host": "0.0.0.0", "security": False}, False),
        ("ssh", {"hosts": ["localhost"]}, False),
        ("ssh", {"hosts": ["localhost", "node1"]}, True),
        ("slurm", {"memory": "1GB"}, True),
    ],
)
def test_tls_is_on_where_others_could_connect(
    provider: str, options: dict[str, Any], expected: bool
) -> None:
    from cluster.tls import tls_of

    spec = ClusterSpec(provider, **options)
    beyond = spec.find_provider().listens_beyond_loopback(spec.options)
    found = tls_of(spec.options, beyond)
    assert (found is not None) is expected
    assert "PRIVATE" not in repr(found)


def test_a_cluster_that_does_not_start_says_why(home: Path) -> None:
    spec = ClusterSpec("distributed:LocalCluster", name="odd", kwargs={"no_such_option": 1})

    with pytest.raises(RunnerUnavailable, match=r"Cluster 'odd' did not start: .*no_such_option"):
        one.with_options(task_runner=DaskTaskRunner(cluster=spec))()
    inside = spec.with_options(kwargs={"processes": False, "dashboard_address": "127.0.0.1:0"})
    with pytest.raises(ClusterError, match="cannot be reached from another process"):
        HostedCluster(inside)
    assert not list((home / "clusters").glob("files-*"))


def private_folder() -> str:
    import dask

    found: str = dask.config.get("dataflow.files-folder")
    return found


def test_processes_over_ssh_end_with_the_connection(home: Path) -> None:
    """And the last of them removes the keys from its machine."""
    with real_servers.ssh_server() as text:
        spec = ClusterSpec("ssh", security=True, **tomllib.loads(text))
        cluster = HostedCluster(spec)
        client = connect(cluster.address, security=cluster.security)
        client.wait_for_workers(1, timeout=60)
        pids = [client.run_on_scheduler(os.getpid), *client.run(os.getpid).values()]
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
        files = Path(client.run_on_scheduler(by_value(private_folder)))
        assert {each.name for each in files.iterdir()} == {"ca.pem", "cert.pem", "key.pem"}
        client.close()
        os.kill(cluster._host.pid, signal.SIGKILL)  # it has no time to end anything
        deadline = time.monotonic() + 60
        while any(map(is_alive, pids)) or files.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster.close()
    assert len(pids) == 2
    assert not any(b"PRIVATE" in command for command in commands)


def test_a_host_that_cannot_be_reached_over_ssh(home: Path) -> None:
    port = real_servers.free_port()
    spec = ClusterSpec("ssh", name="far", hosts=["127.0.0.1"], port=port, known_hosts=False)
    with pytest.raises(
        RunnerUnavailable, match=r"Cluster 'far' did not start: .*(refused|Connect)"
    ):
        one.with_options(task_runner=DaskTaskRunner(cluster=spec))()


def test_a_spec_that_adapts(home: Path) -> None:
    spec = ClusterSpec("local", adapt={"maximum": 1, "interval": "100ms"})
    with DaskTaskRunner(cluster=spec) as runner:
        assert work.with_options(task_runner=runner)(20)[0] == 2 * sum(range(20)) - 26
    assert find_cluster("local") == ClusterSpec("local", name="local")
