"""Clusters of this machine, as specs ask for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.local import as_list, count_cores, own_resources
from cluster.options import (
    ConfiguredOptions,
    FilePath,
    Options,
    SizedOptions,
    WorkerOptions,
    is_loopback,
)
from cluster.provider_protocol import Opening
from cluster.tls import Tls
from cluster.worker_reports import report_of_workers
from dataflow.errors import SettingsError
from dataflow.settings import get_settings


class LocalOptions(WorkerOptions, ConfiguredOptions, SizedOptions):
    """What a spec may say.

    Attributes:
        threads: of each worker process.
        memory: of each, such as ``"2GB"``; ``"auto"``: its share of the machine's.
        host: where scheduler and workers listen; other machines can connect only if this is
            an address of theirs, such as ``"0.0.0.0"``.
        kwargs: more arguments of ``distributed.LocalCluster``.
    """

    threads: Annotated[int, Field(ge=1)] = 1
    memory: str = "auto"
    working_folder: FilePath | None = None
    host: str = "127.0.0.1"
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @property
    def offered(self) -> dict[str, float] | None:
        """The resources of each worker: without any, it has those of Dask's configuration."""
        return dict(own_resources(self.kwargs.get("resources") or self.resources))


class LocalProvider:
    """Makes clusters of this machine (the entry point ``local`` of ``dataflow.clusters``)."""

    options: ClassVar[type[Options]] = LocalOptions
    is_hosted: ClassVar[bool] = True

    def listens_beyond_loopback(self, options: LocalOptions) -> bool:
        """It does if it was told another host."""
        return not is_loopback(options.host)

    def open(self, options: LocalOptions, opening: Opening) -> Any:
        """A cluster beside the process that asks."""
        import dask
        from distributed import LocalCluster

        from cluster.host import prepare_workers

        arguments = self.arguments(options, opening.tls)
        if options.working_folder is not None:
            os.chdir(options.working_folder)
        prepare_workers()
        ours = dask.config.get("distributed.worker.preload")
        preload = [*ours, *as_list(arguments.pop("preload", []))]
        return LocalCluster(**arguments, preload=preload)  # type: ignore[no-untyped-call]

    def report(self, cluster: Any) -> list[str]:
        """How its workers are; how they ended is heard from their nannies."""
        return report_of_workers(cluster)

    def arguments(self, options: LocalOptions, tls: Tls | None) -> dict[str, Any]:
        """What ``LocalCluster`` is called with; ``preload`` comes after what we preload.

        Raises:
            SettingsError: the working folder is not there.
        """
        folder = options.working_folder
        if folder is not None and not Path(folder).is_dir():
            raise SettingsError(f"working_folder = {folder!r} is no folder of this machine.")
        workers = (
            get_settings().workers or count_cores() if options.workers is None else options.workers
        )
        adapt = options.adapt
        found: dict[str, Any] = {
            "n_workers": adapt.minimum if adapt is not None else workers,
            "threads_per_worker": options.threads,
            "memory_limit": options.memory,
            "host": options.host,
            "dashboard_address": options.dashboard_address if options.dashboard else None,
            "scheduler_kwargs": options.scheduler_options(),
            "silence_logs": None,
        }
        if options.dashboard:
            del found["scheduler_kwargs"]["dashboard_address"]
        asked = {name: getattr(options, name) for name in ("resources", "env", "preload")}
        found |= {name: value for name, value in asked.items() if value}
        if tls is not None:
            found |= {"protocol": "tls://", "security": tls.security()}
        return {**found, **options.kwargs}
