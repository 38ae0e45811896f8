"""What the process that hosts a cluster is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.spec import ClusterSpec
from cluster.standing_records import StandingPlace
from cluster.tls import Tls
from dataflow.execution.runner_protocol import Remaining


@dataclass(frozen=True, slots=True)
class HostRequest:
    """What a host is asked for.

    Attributes:
        spec: of the cluster.
        folder: this user's only, for what the cluster needs on disk; removed in the end.
        standing: where it is written down, if it is to outlive who asks.
    """

    spec: ClusterSpec
    folder: str
    standing: StandingPlace | None = None


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """What a host says when its cluster is there."""

    address: str
    tls: Tls | None
    dashboard: str | None


@dataclass(frozen=True, slots=True)
class Hosted:
    """A cluster in this process.

    Attributes:
        cluster: Dask's object.
        expect: whom to tell what remains.
        answer: what those outside need to know.
    """

    cluster: Any
    expect: Callable[[Remaining], None]
    answer: HostAnswer
