"""The processes of a cluster over SSH: Dask's own, with private files copied to the hosts."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from distributed.deploy import ssh
from distributed.deploy.spec import SpecCluster

from cluster.heard import logger
from cluster.options import is_loopback
from cluster.tls import Tls


@dataclass(frozen=True, slots=True)
class PrivateFiles:
    """What stands in files of the hosts that nobody else can read, not in command lines.

    Attributes:
        folder: of these files, on each host.
        texts: of the files, by their names.
    """

    folder: str
    texts: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, name: str, text: str) -> str:
        """Have a file more; its path."""
        self.texts[name] = text
        return f"{self.folder}/{name}"


class SshScheduler(ssh.Scheduler):
    """Dask's, whose log is read on."""

    async def start(self) -> None:
        """Start it, then take over its log."""
        await super().start()  # type: ignore[no-untyped-call]
        self._log = asyncio.ensure_future(_copy_log(self.proc, "scheduler"))


class SshWorker(ssh.Worker):
    """Dask's, whose log is read on."""

    async def start(self) -> None:
        """Start it, then take over its log."""
        await super().start()  # type: ignore[no-untyped-call]
        self._log = asyncio.ensure_future(_copy_log(self.proc, str(self.name)))

    def report(self) -> str:
        """How it is, or how it ended."""
        status = None if self.proc is None else self.proc.exit_status
        state = "its process runs" if status is None else f"its process ended with status {status}"
        return f"worker {self.name} on {self.address}: {state}"


class SshCluster(SpecCluster):
    """Processes over SSH, with files of theirs in a folder of each host."""

    def __init__(self, options: Any, tls: Tls | None, files: PrivateFiles) -> None:
        self._ssh_options = options
        self._private_files = files
        protocol = {"protocol": "tls://"} if tls else {}
        alone = all(map(is_loopback, options.all_hosts))
        listens = {**protocol, **({"host": "127.0.0.1"} if alone else {})}
        how = {"connect_options": options.connection(), "remote_python": options.python}
        worker = {
            **listens,
            "nthreads": options.threads,
            "memory_limit": options.memory or "auto",
            "resources": options.resources,
        }
        super().__init__(  # type: ignore[no-untyped-call]
            workers={
                f"{host}-{number}": {
                    "cls": SshWorker,
                    "options": {
                        **how,
                        "address": host,
                        "kwargs": {**worker, "name": f"{host}-{number}"},
                    },
                }
                for number, host in enumerate(options.hosts * options.workers_per_host)
            },
            scheduler={
                "cls": SshScheduler,
                "options": {
                    **how,
                    "address": options.all_hosts[0],
                    "kwargs": {**listens, **options.scheduler_options(), "port": 0},
                },
            },
            security=tls.security() if tls is not None else None,
            name="SshCluster",
        )

    async def _start(self) -> None:
        if self._private_files.texts:
            await self._on_each_host(self._copy_files)
        await super()._start()  # type: ignore[no-untyped-call]

    async def _close(self) -> None:
        await super()._close()  # type: ignore[no-untyped-call]
        if self._private_files.texts:
            with contextlib.suppress(Exception):
                await self._on_each_host(self._remove_files)

    async def _on_each_host(self, step: Any) -> None:
        import asyncssh

        async def on(host: str) -> None:
            async with asyncssh.connect(host, **self._ssh_options.connection()) as connection:
                await step(connection)

        await asyncio.gather(*map(on, dict.fromkeys(self._ssh_options.all_hosts)))

    async def _copy_files(self, connection: Any) -> None:
        folder = self._private_files.folder
        await connection.run(f"mkdir -m 700 {folder}", check=True)
        for name, text in self._private_files.texts.items():
            await connection.run(f"umask 077 && cat > {folder}/{name}", input=text, check=True)

    async def _remove_files(self, connection: Any) -> None:
        await connection.run(f"rm -rf {self._private_files.folder}")


async def _copy_log(process: Any, name: str) -> None:
    """Write what a process says into our log; unread, it would block the process in the end."""
    async for line in process.stderr:
        logger.info("%s: %s", name, line.rstrip())
