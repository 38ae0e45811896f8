"""Clusters of machines that can be reached over SSH.

As Dask's ``SSHCluster``, and more: certificates and the environment are copied to the machines
instead of standing in command lines, what the processes write goes into the cluster's log, and all
of them end with the connection that started them.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.ends_with_ssh import FILES
from cluster.options import (
    ConfiguredOptions,
    FilePath,
    Options,
    Secret,
    WorkerOptions,
    is_loopback,
    require,
)
from cluster.provider_protocol import Opening
from cluster.tls import PEM_FILES, config_of_paths
from cluster.worker_place import ENVIRONMENT, FOLDER
from cluster.worker_reports import shortened

_ENVIRONMENT_FILE = "environment.json"
_PRELOADED = ["cluster.message_intervals", "cluster.ends_with_ssh"]


class SshOptions(WorkerOptions, ConfiguredOptions):
    """What a spec may say.

    Attributes:
        hosts: on which workers run.
        scheduler: the host of the scheduler; None: the first of them.
        workers_per_host: processes on each.
        threads: of each process; None: one for each core of its machine.
        memory: of each process, such as ``"4GB"``; None: its share of the machine's.
        python: the interpreter on the hosts; None: the path of ours.
        user, port, key_file, password: as for SSH itself; what is not said is read from its
            configuration. The password may be ``{env = "NAME"}``.
        known_hosts: a file; ``False``: whoever answers is believed.
        connect: more arguments of ``asyncssh.connect``.
    """

    hosts: Annotated[list[str], Field(min_length=1)]
    scheduler: str | None = None
    workers_per_host: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=1)] | None = None
    memory: str | None = None
    python: str | None = None
    user: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    key_file: FilePath | None = None
    password: Secret | None = None
    known_hosts: FilePath | bool = True
    connect: dict[str, Any] = Field(default_factory=dict)

    @property
    def all_hosts(self) -> list[str]:
        """The scheduler's host, and those of the workers."""
        return [self.scheduler or self.hosts[0], *self.hosts]

    def connection(self) -> dict[str, Any]:
        """The arguments of ``asyncssh.connect``."""
        given: dict[str, Any] = {
            "username": self.user,
            "port": self.port,
            "client_keys": [self.key_file] if self.key_file else None,
            "password": self.password.get_secret_value() if self.password else None,
            "known_hosts": self.known_hosts if isinstance(self.known_hosts, str) else None,
        }
        found = {name: value for name, value in given.items() if value is not None}
        if self.known_hosts is False:
            found["known_hosts"] = None
        return {**found, **self.connect}


class SshProvider:
    """Starts processes over SSH (the entry point ``ssh`` of ``dataflow.clusters``)."""

    options: ClassVar[type[Options]] = SshOptions
    is_hosted: ClassVar[bool] = True

    def listens_beyond_loopback(self, options: SshOptions) -> bool:
        """It does unless every host is this one."""
        return not all(map(is_loopback, options.all_hosts))

    def open(self, options: SshOptions, opening: Opening) -> Any:
        """A cluster whose scheduler and workers run on the hosts."""
        require("asyncssh", "Clusters over SSH need asyncssh, which is not installed.", "ssh")
        import dask

        from cluster.ssh_processes import PrivateFiles, SshCluster

        files = PrivateFiles(f"/tmp/dataflow-{secrets.token_hex(16)}")
        config: dict[str, Any] = {
            "distributed.scheduler.preload": _PRELOADED,
            "distributed.nanny.preload": ["cluster.ends_with_ssh", "cluster.worker_place"],
            "distributed.worker.preload": [
                *dask.config.get("distributed.worker.preload"),
                *options.preload,
            ],
            FOLDER: options.working_folder,
        }
        if opening.tls is not None:
            texts = (opening.tls.ca, opening.tls.cert, opening.tls.key)
            config |= config_of_paths(*map(files.add, PEM_FILES, texts))
        if options.env:
            config[ENVIRONMENT] = files.add(_ENVIRONMENT_FILE, json.dumps(options.env))
        if files.texts:
            config[FILES] = files.folder
        dask.config.set(config)  # the hosts' processes are given the whole of it
        return SshCluster(options, opening.tls, files)

    def report(self, cluster: Any) -> list[str]:
        """How the processes on the hosts are; what they write is heard as they do."""
        there = {name: process.report() for name, process in cluster.workers.items()}
        return shortened([there.get(name, f"worker {name}: gone") for name in cluster.worker_spec])
