"""What a provider of clusters is: the one door between a spec and whoever makes the cluster.

A provider is found by its name in the entry-point group ``dataflow.clusters``. It says, as a
pydantic model, what a spec may ask of it, and makes a Dask cluster object from that. It does so in
a process of its own (``cluster.spec_host``), so it may use Dask's synchronous interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from cluster.options import Options
from cluster.tls import Tls


@dataclass(frozen=True, slots=True)
class Opening:
    """What a provider is told beside its options.

    Attributes:
        name: of the cluster.
        folder: only this user's, there as long as the cluster: files that its processes need.
        tls: with which its processes are to speak; None: without.
    """

    name: str
    folder: Path
    tls: Tls | None


@runtime_checkable
class ClusterProvider(Protocol):
    """Makes clusters of one kind.

    Attributes:
        options: what a spec may say.
        is_hosted: whether there is something to start. One that only names a scheduler which runs
            is opened in the process that asks; its ``open`` returns an object with
            ``scheduler_address`` and ``security``.
    """

    options: ClassVar[type[Options]]
    is_hosted: ClassVar[bool]

    def listens_beyond_loopback(self, options: Any) -> bool:
        """Whether other machines could connect to it: then it speaks TLS unless told otherwise."""

    def open(self, options: Any, opening: Opening) -> Any:
        """A cluster as Dask's own are: ``scheduler_address``, ``scale``, ``adapt``, ``close``.

        Raises:
            MissingExtra: a library is not installed; the hint has the install line.
        """

    def report(self, cluster: Any) -> list[str]:
        """What is known of workers that did not come or are gone, a line each.

        It is asked when a run has waited in vain. ``report_of_workers`` in
        ``cluster/worker_reports.py`` says what Dask's object knows.
        """
