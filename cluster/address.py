"""Clusters that somebody else has started: only the address of the scheduler is known.

Nothing of such a cluster is changed, neither its size nor its settings, and it is never ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from cluster.options import NeedsOptions, Options, TlsFiles
from cluster.provider_protocol import Opening
from cluster.tls import Tls, read_tls


def _address(text: str) -> str:
    address = text if "://" in text else f"tcp://{text}"
    host, colon, port = address.partition("://")[2].rpartition(":")
    if address.startswith(("tcp://", "tls://")) and not (host and colon and port.isdigit()):
        raise ValueError("it should be like tcp://host:8786")
    return address


class AddressOptions(NeedsOptions):
    """What a spec may say.

    Attributes:
        address: of the scheduler, such as ``tcp://host:8786`` or ``tls://host:8786``.
        security: certificates for ``tls://``; without them those of Dask's own configuration.
    """

    address: Annotated[str, AfterValidator(_address)]
    security: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class RunningScheduler:
    """A scheduler that runs, and what it is spoken to with."""

    scheduler_address: str
    tls: Tls | None

    @property
    def security(self) -> Any:
        """For Dask's client."""
        return self.tls.security() if self.tls is not None else None


class AddressProvider:
    """Names a scheduler (the entry point ``address`` of ``dataflow.clusters``)."""

    options: ClassVar[type[Options]] = AddressOptions
    is_hosted: ClassVar[bool] = False

    def listens_beyond_loopback(self, options: AddressOptions) -> bool:
        """That is not ours to say."""
        return False

    def open(self, options: AddressOptions, opening: Opening) -> RunningScheduler:
        """The scheduler; whether it answers is seen when it is connected to."""
        tls = read_tls(options.security) if options.security is not None else None
        return RunningScheduler(options.address, tls)

    def report(self, cluster: RunningScheduler) -> list[str]:
        """Who started it knows its workers; what the scheduler says, the run asks by itself."""
        return []
