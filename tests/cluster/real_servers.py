"""Servers that clusters are made with: OpenSSH, Slurm on one node, Dask Gateway.

Where one cannot be had its tests are skipped, with the reason; on CI they fail.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

PASSWORD = "gate/s3cret"
_START_SECONDS = 60


def give_up(reason: str) -> NoReturn:
    """A part is missing here."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    """The path of a program that a system's package brings."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    return found or give_up(f"{name} is not installed (on Debian: apt-get install {package})")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def wait_for(is_there: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_there():
        if time.monotonic() > deadline:
            told = log.read_text(errors="replace") if log.exists() else ""
            give_up(f"{what} did not start: {told[-2000:]}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def short_folder() -> Iterator[Path]:
    """For servers whose sockets must have short paths."""
    with tempfile.TemporaryDirectory(prefix="dataflow-test-", ignore_cleanup_errors=True) as found:
        yield Path(found)


@contextmanager
def started(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    """A server in the foreground, for as long as it is needed."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def ssh_server() -> Iterator[str]:
    """An OpenSSH server; what a spec says of it, as TOML."""
    sshd = program("sshd", "openssh-server")
    keygen = program("ssh-keygen", "openssh-client")
    port = free_port()
    with short_folder() as folder:
        for name in ("host_key", "user_key"):
            path = str(folder / name)
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
        (folder / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n"
            f"StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\nMaxSessions 100\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = folder / "log"
        with started([sshd, "-D", "-e", "-f", str(folder / "config")], log):
            wait_for(lambda: answers(port), "sshd", log)
            yield (
                f'hosts = ["127.0.0.1"]\nport = {port}\nkey_file = "{folder}/user_key"\n'
                f'known_hosts = "{folder}/known_hosts"\n'
            )


_SLURM = """
ClusterName=dataflow
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm() -> Iterator[str]:
    """Slurm on one node; what a spec says of it, as TOML. ``SLURM_CONF`` must be in force."""
    munged = program("munged", "munge")
    control, node = program("slurmctld", "slurmctld"), program("slurmd", "slurmd")
    program("sbatch", "slurm-client")
    with short_folder() as folder, ExitStack() as stack:
        folder.chmod(0o755)  # munge wants it so
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = free_port(), free_port()
        config = folder / "slurm.conf"
        config.write_text(
            _SLURM.format(
                host=socket.gethostname().partition(".")[0],
                control=ports[0],
                node=ports[1],
                folder=folder,
                user=getpass.getuser(),
            )
        )
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        places = [
            f"--{name}={folder}/munge{end}"
            for name, end in (
                ("key-file", ".key"),
                ("socket", ""),
                ("log-file", ".log"),
                ("pid-file", ".pid"),
                ("seed-file", ".seed"),
            )
        ]
        environment = {"SLURM_CONF": str(config)}
        log = folder / "log"
        stack.enter_context(started([munged, "--foreground", "--force", *places], log))
        wait_for(lambda: (folder / "munge").exists(), "munged", log)
        controls, nodes = folder / "slurmctld.log", folder / "slurmd.log"
        stack.enter_context(started([control, "-D", "-c"], controls, **environment))
        wait_for(lambda: answers(ports[0]), "slurmctld", controls)
        stack.enter_context(started([node, "-D"], nodes, **environment))
        wait_for(lambda: _is_idle(environment), "slurmd", nodes)
        os.environ["SLURM_CONF"] = str(config)
        try:
            yield (
                f'queue = "tests"\nhost = "127.0.0.1"\nmemory = "500MB"\nlog_folder = "{folder}"\n'
            )
        finally:
            del os.environ["SLURM_CONF"]


def _is_idle(environment: dict[str, str]) -> bool:
    asked = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() == "idle"


_GATEWAY = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{api}"
c.SimpleAuthenticator.password = "{password}"
c.Proxy.address = "127.0.0.1:{web}"
c.Proxy.tcp_address = "127.0.0.1:{tcp}"
c.UnsafeLocalBackend.clusters_directory = "{folder}/clusters"
c.ClusterConfig.scheduler_cmd = ["dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["dask", "worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "500 M"
"""


@contextmanager
def gateway() -> Iterator[str]:
    """A Dask Gateway with its local backend; what a spec says of it, as TOML."""
    if find_spec("dask_gateway_server") is None:
        give_up("dask-gateway-server is not installed (it is in the extra dev)")
    api, web, tcp = free_port(), free_port(), free_port()
    with short_folder() as folder:
        config = folder / "gateway.py"
        config.write_text(
            _GATEWAY.format(api=api, web=web, tcp=tcp, password=PASSWORD, folder=folder)
        )
        programs = str(Path(sys.executable).parent)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        log = folder / "log"
        command = [f"{programs}/dask-gateway-server", "-f", str(config)]
        with started(command, log, PATH=path):
            wait_for(lambda: answers(web) and answers(tcp) and answers(api), "the gateway", log)
            yield (
                f'address = "http://127.0.0.1:{web}"\nproxy_address = "tls://127.0.0.1:{tcp}"\n'
                'auth = "basic"\nusername = "tester"\npassword = {env = "GATE_PASSWORD"}\n'
            )
