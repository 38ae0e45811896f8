"""The processes of a cluster over SSH: Dask's own, with certificates copied to the hosts."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import PurePosixPath
from typing import Any

from distributed.deploy import ssh
from distributed.deploy.spec import SpecCluster

from cluster.options import is_loopback
from cluster.tls import PEM_FILES, Tls


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


class SshCluster(SpecCluster):
    """Processes over SSH, with certificates in a folder of each host."""

    def __init__(self, options: Any, tls: Tls | None, folder: str | None) -> None:
        self._ssh_options = options
        self._tls = tls
        self._tls_folder = folder
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
        if self._tls is not None:
            await self._on_each_host(self._copy_certificates)
        await super()._start()  # type: ignore[no-untyped-call]

    async def _close(self) -> None:
        await super()._close()  # type: ignore[no-untyped-call]
        if self._tls is not None:
            with contextlib.suppress(Exception):
                await self._on_each_host(self._remove_certificates)

    async def _on_each_host(self, step: Any) -> None:
        import asyncssh

        async def on(host: str) -> None:
            async with asyncssh.connect(host, **self._ssh_options.connection()) as connection:
                await step(connection)

        await asyncio.gather(*map(on, dict.fromkeys(self._ssh_options.all_hosts)))

    async def _copy_certificates(self, connection: Any) -> None:
        assert self._tls is not None and self._tls_folder is not None
        await connection.run(f"mkdir -m 700 {self._tls_folder}", check=True)
        texts = (self._tls.ca, self._tls.cert, self._tls.key)
        for name, text in zip(PEM_FILES, texts, strict=True):
            path = PurePosixPath(self._tls_folder) / name
            await connection.run(f"umask 077 && cat > {path}", input=text, check=True)

    async def _remove_certificates(self, connection: Any) -> None:
        await connection.run(f"rm -rf {self._tls_folder}")


async def _copy_log(process: Any, name: str) -> None:
    """Write what a process says into ours; unread, it would block the process in the end."""
    async for line in process.stderr:
        print(f"{name}: {line.rstrip()}", file=sys.stderr, flush=True)
