"""Which cluster is meant: one that stands, one that is written down, one that runs elsewhere.

Of one that stands nothing has to be checked any more: what reads specs is not loaded for it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.needs import Needs
from cluster.standing_records import StandingRecord, all_records, find_record
from dataflow.errors import ClusterError
from dataflow.execution.runner_protocol import Remaining

if TYPE_CHECKING:
    from cluster.hosted import HostedCluster
    from cluster.local import LocalDaskCluster
    from cluster.spec import ClusterSpec


@dataclass(frozen=True, slots=True)
class OpenCluster:
    """A cluster that can be connected to.

    Attributes:
        address: of its scheduler.
        security: what a client needs to speak with it.
        close: leaves it; one that was opened for us ends.
        where: what messages call it.
        needs: what a run needs of it.
        offers: the resources that each worker has or will have; None: nobody says.
        expect: tells whoever sizes it what remains; None: nobody does.
        report: says what is known of workers that are not there; None: nobody knows.
        used: how long its workers have been there, all together; None: that has no limit.
        boards, lines: as of :class:`cluster.local.LocalDaskCluster`, if it is one.
    """

    address: str
    security: Any
    close: Callable[[], None]
    where: str
    needs: Needs
    offers: dict[str, float] | None
    expect: Callable[[Remaining], None] | None = None
    report: Callable[[], str] | None = None
    used: Callable[[], float] | None = None
    boards: str | None = None
    lines: socket.socket | None = None


def find_cluster(name: str) -> StandingRecord | ClusterSpec:
    """What a name stands for: a cluster that runs, or else the spec of one.

    A provider that needs to be told nothing is a spec too: ``"local"``.

    Raises:
        ClusterNotFound: for nothing.
        SettingsError: for a spec that cannot be used.
    """
    record = find_record(name)
    if record is not None:
        return record
    from cluster.spec import ClusterSpec
    from cluster.spec_files import not_found, written_spec

    found = written_spec(name)
    if found is None and name == "local":
        return ClusterSpec("local", name="local")
    if found is None:
        raise not_found(name, [record.name for record in all_records()])
    return found


def open_cluster(which: StandingRecord | ClusterSpec, used_seconds: float = 0.0) -> OpenCluster:
    """Find or start a cluster; whoever asks connects to it.

    Args:
        which: that one.
        used_seconds: of its ``max_worker_seconds``, if it is opened for us alone, that those before
            it have used.

    Raises:
        RunnerUnavailable: it did not start.
    """
    if isinstance(which, StandingRecord):
        return _open_standing(which)
    from cluster.options import needs_of, offers_of
    from cluster.provider_protocol import Opening

    provider = which.find_provider()
    if not provider.is_hosted:
        found = provider.open(which.options, Opening(which.name or "", Path(), None))
        return OpenCluster(
            found.scheduler_address,
            found.security,
            _leave,
            where=_name(which),
            needs=needs_of(which.options),
            offers=offers_of(which.options),
        )
    if which.provider == "local":
        local = _start_local(which, used_seconds)
        return replace(_opened(which, local), boards=local.boards, lines=local.lines)
    from cluster.hosted import HostedCluster

    return _opened(which, HostedCluster(which, used_seconds))


def _opened(spec: ClusterSpec, cluster: LocalDaskCluster | HostedCluster) -> OpenCluster:
    """A cluster that was started for us alone."""
    from cluster.options import needs_of, offers_of

    adapt = getattr(spec.options, "adapt", None)
    has_ceiling = adapt is not None and adapt.max_worker_seconds is not None
    return OpenCluster(
        cluster.address,
        cluster.security,
        cluster.close,
        where=_name(spec),
        needs=needs_of(spec.options),
        offers=offers_of(spec.options),
        expect=cluster.expect if adapt is not None else None,
        report=cluster.report,
        used=cluster.used_seconds if has_ceiling else None,
    )


def _name(spec: ClusterSpec) -> str:
    return f"Cluster {spec.name!r}" if spec.name else f"The cluster ({spec.provider})"


def _leave() -> None:
    """It is not ours to end."""


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
        where=f"Cluster {record.name!r}",
        needs=record.needs,
        offers=record.offers,
        expect=control.expect if control else None,
        report=lambda: _standing_report(record),
    )


def _standing_report(record: StandingRecord) -> str:
    from cluster.standing import Control

    with Control(record) as control:
        return control.report()


def _start_local(spec: ClusterSpec, used_seconds: float) -> LocalDaskCluster:
    """A cluster of this machine, to whose workers short batches go directly."""
    from cluster.local import LocalDaskCluster
    from cluster.local_provider import LocalOptions, LocalProvider
    from cluster.tls import tls_of

    assert isinstance(spec.options, LocalOptions)
    provider = LocalProvider()
    tls = tls_of(spec.options, provider.listens_beyond_loopback(spec.options))
    arguments = provider.arguments(spec.options, tls)
    arguments.pop("silence_logs", None)
    return LocalDaskCluster(
        adapt=spec.options.adapt.arguments() if spec.options.adapt is not None else None,
        used_seconds=used_seconds,
        working_folder=spec.options.working_folder,
        **arguments,
    )
