"""What the process that hosts a cluster is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.heard import Heard
from cluster.spec import ClusterSpec
from cluster.standing_records import StandingPlace
from cluster.tls import Tls
from cluster.worker_reports import report_of
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
        used_seconds: of its ``max_worker_seconds``, that clusters before it have used.
    """

    spec: ClusterSpec
    folder: str
    standing: StandingPlace | None = None
    used_seconds: float = 0.0


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
        ask: what is known of its workers, from its provider.
        heard: what its processes said.
    """

    cluster: Any
    adaptive: FollowsWork | None
    answer: HostAnswer
    ask: Callable[[], list[str]]
    heard: Heard

    def expect(self, remaining: Remaining) -> None:
        """Say what remains, if anybody wants to know."""
        if self.adaptive is not None:
            self.adaptive.expect(remaining)

    @property
    def used_seconds(self) -> float:
        """How long workers have been there, all together, if that is limited."""
        return 0.0 if self.adaptive is None else self.adaptive.used_seconds

    def report(self) -> str:
        """What is known of workers that are not there."""
        size = None if self.adaptive is None else str(self.adaptive.size)
        return report_of(self.ask, self.heard.last(), size)
