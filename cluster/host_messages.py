"""What the process that hosts a cluster is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.spec import ClusterSpec
from cluster.standing_records import StandingPlace
from cluster.tls import Tls
from dataflow.execution.runner_protocol import Remaining

if TYPE_CHECKING:
    from cluster.adapting import FollowsWork


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
        adaptive: who sizes it, if its size follows the work.
        answer: what those outside need to know.
    """

    cluster: Any
    adaptive: FollowsWork | None
    answer: HostAnswer

    def expect(self, remaining: Remaining) -> None:
        """Say what remains, if anybody wants to know."""
        if self.adaptive is not None:
            self.adaptive.expect(remaining)
