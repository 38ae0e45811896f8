"""Which cluster is meant: one that stands, one that is written down, one that runs elsewhere."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.needs import ALL_CODE, Needs, needs_of
from cluster.provider_protocol import Opening
from cluster.spec import ClusterSpec
from cluster.standing_records import StandingRecord, all_records, find_record
from cluster.tls import tls_of
from dataflow.errors import ClusterError
from dataflow.execution.runner_protocol import Remaining


@dataclass(frozen=True, slots=True)
class OpenCluster:
    """A cluster that can be connected to.

    Attributes:
        address: of its scheduler.
        security: what a client needs to speak with it.
        close: leaves it; one that was opened for us ends.
        is_ours: whether it was opened for us alone.
        expect: tells whoever sizes it what remains; None: nobody does.
        needs: what a run needs of it.
        boards, lines: as of :class:`cluster.local.LocalDaskCluster`, if it is one.
    """

    address: str
    security: Any
    close: Callable[[], None]
    is_ours: bool
    expect: Callable[[Remaining], None] | None = None
    needs: Needs = ALL_CODE
    boards: str | None = None
    lines: socket.socket | None = None


def find_cluster(name: str) -> StandingRecord | ClusterSpec:
    """What a name stands for: a cluster that runs, or else the spec of one.

    A provider that needs to be told nothing is a spec too: ``"local"``.

    Raises:
        ClusterNotFound: for nothing.
        SettingsError: for a spec that cannot be used.
    """
    from cluster.spec_files import not_found, written_spec

    found = find_record(name) or written_spec(name)
    if found is None and name == "local":
        return ClusterSpec("local", name="local")
    if found is None:
        raise not_found(name, [record.name for record in all_records()])
    return found


def open_cluster(which: StandingRecord | ClusterSpec) -> OpenCluster:
    """Find or start a cluster; whoever asks connects to it.

    Raises:
        RunnerUnavailable: it did not start.
    """
    if isinstance(which, StandingRecord):
        return _open_standing(which)
    provider = which.find_provider()
    if not provider.is_hosted:
        found = provider.open(which.options, Opening(which.name or "", Path(), None))
        return OpenCluster(
            found.scheduler_address,
            found.security,
            _leave,
            is_ours=False,
            needs=needs_of(which.options),
        )
    if which.provider == "local":
        return _open_local(which)
    from cluster.hosted import HostedCluster

    cluster = HostedCluster(which)
    expect = cluster.expect if _adapts(which) else None
    needs = needs_of(which.options)
    return OpenCluster(cluster.address, cluster.security, cluster.close, True, expect, needs)


def _leave() -> None:
    """It is not ours to end."""


def _adapts(spec: ClusterSpec) -> bool:
    return getattr(spec.options, "adapt", None) is not None


def _open_standing(record: StandingRecord) -> OpenCluster:
    control = None
    if record.spec.get("adapt"):
        from cluster.standing import Control

        with contextlib.suppress(ClusterError):  # it is on another machine
            control = Control(record)
    return OpenCluster(
        record.address,
        record.security,
        control.close if control else _leave,
        is_ours=False,
        expect=control.expect if control else None,
        needs=needs_of(record.spec),
    )


def _open_local(spec: ClusterSpec) -> OpenCluster:
    """A cluster of this machine, to whose workers short batches go directly."""
    from cluster.local import LocalDaskCluster
    from cluster.local_provider import LocalOptions, LocalProvider

    assert isinstance(spec.options, LocalOptions)
    provider = LocalProvider()
    tls = tls_of(spec.options, provider.listens_beyond_loopback(spec.options))
    arguments = provider.arguments(spec.options, tls)
    arguments.pop("silence_logs", None)
    adapt = spec.options.adapt.arguments() if spec.options.adapt is not None else None
    cluster = LocalDaskCluster(adapt=adapt, **arguments)
    return OpenCluster(
        cluster.address,
        cluster.security,
        cluster.close,
        is_ours=True,
        expect=cluster.expect if adapt is not None else None,
        needs=needs_of(spec.options),
        boards=cluster.boards,
        lines=cluster.lines,
    )
