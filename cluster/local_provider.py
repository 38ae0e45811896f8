"""Clusters of this machine, as specs ask for them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.local import count_cores
from cluster.options import ConfiguredOptions, Options, SizedOptions, is_loopback
from cluster.provider_protocol import Opening
from cluster.tls import Tls
from dataflow.settings import get_settings


class LocalOptions(ConfiguredOptions, SizedOptions):
    """What a spec may say.

    Attributes:
        threads: of each worker process.
        memory: of each, such as ``"2GB"``; ``"auto"``: its share of the machine's.
        resources: of each, such as ``{GPU = 1}``.
        host: where scheduler and workers listen; other machines can connect only if this is
            an address of theirs, such as ``"0.0.0.0"``.
        kwargs: more arguments of ``distributed.LocalCluster``.
    """

    threads: Annotated[int, Field(ge=1)] = 1
    memory: str = "auto"
    resources: dict[str, float] = Field(default_factory=dict)
    host: str = "127.0.0.1"
    kwargs: dict[str, Any] = Field(default_factory=dict)


class LocalProvider:
    """Makes clusters of this machine (the entry point ``local`` of ``dataflow.clusters``)."""

    options: ClassVar[type[Options]] = LocalOptions
    is_hosted: ClassVar[bool] = True

    def listens_beyond_loopback(self, options: LocalOptions) -> bool:
        """It does if it was told another host."""
        return not is_loopback(options.host)

    def open(self, options: LocalOptions, opening: Opening) -> Any:
        """A cluster beside the process that asks."""
        from distributed import LocalCluster

        from cluster.host import prepare_workers

        prepare_workers()
        return LocalCluster(**self.arguments(options, opening.tls))  # type: ignore[no-untyped-call]

    def arguments(self, options: LocalOptions, tls: Tls | None) -> dict[str, Any]:
        """What ``LocalCluster`` is called with."""
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
        if options.resources:
            found["resources"] = options.resources
        if tls is not None:
            found |= {"protocol": "tls://", "security": tls.security()}
        return {**found, **options.kwargs}
