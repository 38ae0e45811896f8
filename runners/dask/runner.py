"""Dask: tasks run on the workers of a Dask cluster, of this machine or of many.

A batch is one Dask task. What tasks return stays on the workers when other tasks need it, or when
it is large, and goes from worker to worker; the flow's process gets reports, small values that
nobody else needs, and what ``.result()`` asks for.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.needs import ALL_CODE, Needs
from dataflow.execution.runner_protocol import NobodyHelps, Remaining, RunnerListener
from dataflow.model.batches import Batch
from dataflow.planner.batch_sizes import RunnerCosts, cluster_costs
from dataflow.settings import get_settings
from runners.dask.connection import Connection, tell_nobody
from runners.dask.session import DaskSession

if TYPE_CHECKING:
    from cluster.adapting import FollowsWork

_DISPATCH_SECONDS = 0.010
_OWN_DISPATCH_SECONDS = 0.008
_LINE_DISPATCH_SECONDS = 0.0008


class DaskTaskRunner(NobodyHelps):
    """Runs tasks on a Dask cluster: one of its own on this machine, or one that is named here.

    Args:
        address: of a running scheduler.
        client: an existing ``distributed.Client`` (its scheduler is used, not the client itself).
        cluster: the name of a cluster (one that runs, or ``[clusters.NAME]`` of a file), a
            ``ClusterSpec``, an address, or an existing ``Cluster`` or ``Client``.
        cluster_class: makes a cluster (a class, a function, or ``"module:name"``).
        cluster_kwargs: its arguments; without ``cluster_class``, of the cluster on this machine.
        adapt_kwargs: arguments of ``cluster.adapt``, such as ``{"minimum": 1, "maximum": 10}``:
            the cluster grows and shrinks with the work that remains.

    A cluster that was given is never closed; one that the runner made ends with it. Of what its
    workers may cost (``max_worker_seconds``) those that it makes one after the other have one
    share, not one each.

    Raises:
        ValueError: what was given does not go together, or there could never be a worker.
    """

    name = "dask"
    shares_objects = False

    def __init__(
        self,
        address: str | None = None,
        *,
        client: Any = None,
        cluster: Any = None,
        cluster_class: Any = None,
        cluster_kwargs: dict[str, Any] | None = None,
        adapt_kwargs: dict[str, Any] | None = None,
    ) -> None:
        given = {
            "address": address,
            "client": client,
            "cluster": cluster,
            "cluster_class": cluster_class,
        }
        named = [name for name, value in given.items() if value is not None]
        self._named: Any = None
        if _is_client(cluster):
            client, cluster = cluster, None
        elif isinstance(cluster, str) and "://" in cluster:
            address, cluster = cluster, None
        elif isinstance(cluster, str) or _is_spec(cluster):
            self._named, cluster = cluster, None
        if len(named) > 1:
            raise ValueError(f"Give only one of {' and '.join(named)}.")
        if cluster_kwargs and named and named != ["cluster_class"]:
            raise ValueError(f"cluster_kwargs make a cluster, but {named[0]} names one.")
        if adapt_kwargs and (address is not None or client is not None):
            raise ValueError("adapt_kwargs need a cluster object, not an address or a client.")
        if adapt_kwargs and self._named is not None:
            raise ValueError("What is named says by itself whether it adapts: in its spec.")
        if cluster_class is None and adapt_kwargs is None:
            _check_size("n_workers", (cluster_kwargs or {}).get("n_workers"), 1)
        least = (adapt_kwargs or {}).get("minimum")
        _check_size("minimum", least, 0)
        _check_size("maximum", (adapt_kwargs or {}).get("maximum"), max(least or 0, 1))
        self._address, self._client, self._cluster = address, client, cluster
        self._cluster_class = cluster_class
        self._cluster_kwargs = dict(cluster_kwargs or {})
        self._adapt_kwargs = adapt_kwargs
        self._lock = threading.RLock()
        self._session: DaskSession | None = None
        self._pid = os.getpid()
        self._listener: RunnerListener | None = None
        self._bytes_before = 0
        self._used_seconds = 0.0  # of max_worker_seconds, by all clusters that were made here
        self._has_lines = False
        self._slots = self._expected_threads()
        self.costs = self._costs()

    @classmethod
    def for_name(cls, name: str) -> DaskTaskRunner:
        """The runner that ``"dask:NAME"`` stands for.

        Raises:
            ClusterNotFound: no cluster has that name.
            SettingsError: it is written down wrongly.
        """
        from cluster.opening import find_cluster

        if "://" not in name:
            find_cluster(name)
        return cls(cluster=name)

    # --- the protocol ----------------------------------------------------------------------------

    def start(self, listener: RunnerListener) -> None:
        """Begin to start or find the cluster, in a thread."""
        with self._lock:
            self._listener = listener
            session = self._session
            if session is None or session.closed or self._pid != os.getpid():
                self._count_bytes()
                self._pid = os.getpid()
                self._session = DaskSession(self._connect, listener, self._resized)
                atexit.register(_close_if_alive, weakref.ref(self))
            else:
                session.listener = listener

    @property
    def slots(self) -> int:
        """One batch for each thread of the cluster; 1 while it has none."""
        return self._slots

    @property
    def event_loops(self) -> int:
        """One in each worker, and at most one for each thread."""
        return self._slots

    def submit(self, batch: Batch) -> None:
        """Have the cluster carry out a batch, when it is there."""
        with self._lock:
            while self._session is None or not self._session.submit(batch):
                assert self._listener is not None
                self.start(self._listener)

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """Withdraw batches; a worker of ours that is at one of them is ended."""
        if self._session is not None:
            session = self._session
            threading.Thread(target=session.cancel, args=(list(batch_ids),), daemon=True).start()

    @property
    def is_elastic(self) -> bool:
        """Whether the cluster gets larger and smaller with the work."""
        return self._adapt_kwargs is not None or self._named is not None

    def expect(self, remaining: Remaining) -> None:
        """Have whoever sizes the cluster told what remains."""
        session = self._session
        if session is not None:
            session.expect(remaining)

    def close(self) -> None:
        """Leave the cluster, and end it if the runner made it."""
        with self._lock:
            self._count_bytes()
            session, self._session = self._session, None
        if session is not None and self._pid == os.getpid():
            session.close()

    # --- more ------------------------------------------------------------------------------------

    @property
    def bytes_through_flow(self) -> int:
        """Bytes of values that have come to the flow's process so far."""
        now = self._session.bytes_through_flow if self._session is not None else 0
        return self._bytes_before + now

    def _count_bytes(self) -> None:
        if self._session is not None:
            self._bytes_before += self._session.bytes_through_flow

    def __enter__(self) -> DaskTaskRunner:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        given = {
            "address": self._address,
            "client": self._client,
            "cluster": self._cluster or self._named,
            "cluster_class": self._cluster_class,
            "cluster_kwargs": self._cluster_kwargs or None,
            "adapt_kwargs": self._adapt_kwargs,
        }
        shown = [f"{name}={value!r}" for name, value in given.items() if value is not None]
        return f"DaskTaskRunner({', '.join(shown)})"

    # --- the cluster -----------------------------------------------------------------------------

    def _connect(self) -> Connection:
        """Make or find the cluster, and connect to it."""
        from cluster.connecting import connect

        if self._named is not None:
            return self._open_named()
        if self._address is None and self._client is None and self._cluster is None:
            return self._make_cluster()
        if self._address is not None:
            client = connect(self._address)
        elif self._client is not None:
            client = connect(self._client.scheduler.address, security=self._client.security)
        else:
            client = _connect_to_cluster(self._cluster)
        adaptive = self._adapt(self._cluster)  # a cluster that is given knows what it has used
        expect = adaptive.expect if adaptive is not None else tell_nobody
        return Connection(_checked(client), expect=expect)

    def _open_named(self) -> Connection:
        """Connect to what a name or a spec stands for; it is started if it does not run."""
        from cluster.connecting import connect
        from cluster.opening import find_cluster, open_cluster

        found = find_cluster(self._named) if isinstance(self._named, str) else self._named
        opened = open_cluster(found, self._used_seconds)
        try:
            direct = True if opened.lines is not None else None
            client = connect(opened.address, security=opened.security, direct=direct)
            _checked(client, opened.needs)
        except BaseException:
            opened.close()
            raise
        self._has_lines = opened.lines is not None
        return Connection(
            client,
            opened.boards,
            opened.lines,
            opened.close,
            ends_idle=True,
            where=opened.where,
            needs=opened.needs,
            offers=opened.offers,
            expect=opened.expect or tell_nobody,
            report=opened.report,
            note_use=self._noting(opened.used),
        )

    def _make_cluster(self) -> Connection:
        from cluster.connecting import connect
        from cluster.local import LocalDaskCluster, own_resources

        if self._cluster_class is None:
            adapts = self._adapt_kwargs is not None
            local = LocalDaskCluster(
                adapt=self._adapt_kwargs, used_seconds=self._used_seconds, **self._cluster_kwargs
            )
            client = connect(local.address, security=local.security, direct=True)
            return Connection(
                client,
                local.boards,
                local.lines,
                local.close,
                ends_idle=True,
                where="The Dask cluster of this machine",
                offers=own_resources(self._cluster_kwargs.get("resources")),
                expect=local.expect if adapts else tell_nobody,
                report=local.report,
                note_use=self._noting(local.used_seconds if self._has_ceiling else None),
            )
        make = self._cluster_class
        if isinstance(make, str):
            from cluster.any_class import find_class

            make = find_class(make)
        made = make(**self._cluster_kwargs)
        try:
            adaptive = self._adapt(made)
            client = _checked(_connect_to_cluster(made))
            return Connection(
                client,
                close=made.close,
                expect=adaptive.expect if adaptive is not None else tell_nobody,
                note_use=self._noting(partial(getattr, adaptive, "used_seconds", 0.0)),
            )
        except BaseException:
            made.close()
            raise

    def _adapt(self, cluster: Any) -> FollowsWork | None:
        """Have a cluster adapt its size, if it should; who is to be told what remains.

        One that has its own way to do so sees only the batches that are under way, and those are
        short: for it they should take half as long.
        """
        if cluster is None or self._adapt_kwargs is None:
            return None
        from cluster.adapting import adapt

        otherwise = {"target_duration": f"{self.costs.target_seconds * 500:.0f}ms"}
        return adapt(cluster, self._adapt_kwargs, otherwise, self._used_seconds)

    @property
    def _has_ceiling(self) -> bool:
        return "max_worker_seconds" in (self._adapt_kwargs or {})

    def _noting(self, used: Callable[[], float] | None) -> Callable[[], None]:
        """Notes what a cluster has used while it can be asked; the next one goes on from it."""

        def note() -> None:
            if used is not None:
                self._used_seconds = max(self._used_seconds, used())

        return note

    @property
    def _is_own(self) -> bool:
        """Whether the cluster is one of this machine that the runner starts."""
        others = (self._address, self._client, self._cluster, self._cluster_class, self._named)
        return self._has_lines or all(each is None for each in others)

    def _costs(self) -> RunnerCosts:
        if not self._is_own:
            return self._costs_of(_DISPATCH_SECONDS)
        by_scheduler = self._costs_of(_OWN_DISPATCH_SECONDS)
        if self._adapt_kwargs is not None:
            return by_scheduler
        return replace(self._costs_of(_LINE_DISPATCH_SECONDS), of_large=by_scheduler)

    def _costs_of(self, dispatch_seconds: float) -> RunnerCosts:
        return cluster_costs(dispatch_seconds, self._slots)

    def _expected_threads(self) -> int:
        """How many threads the cluster will have, as far as that is known before it is there."""
        threads = int(self._cluster_kwargs.get("threads_per_worker") or 1)
        if self._adapt_kwargs is not None:
            maximum = self._adapt_kwargs.get("maximum") or 1
            return int(maximum) * threads if math.isfinite(maximum) else 1
        if not self._is_own:
            return 1
        workers = self._cluster_kwargs.get("n_workers") or get_settings().workers or os.cpu_count()
        return int(workers or 1) * threads

    def _resized(self, threads: int) -> None:
        adaptive = self._adapt_kwargs is not None
        slots = max(threads, self._slots) if adaptive else max(threads, 1)
        if slots != self._slots:
            self._slots = slots
            self.costs = self._costs()
            if self._listener is not None:
                self._listener.resized()


def _check_size(name: str, workers: Any, least: int) -> None:
    """Dask itself would wait for ever, or take the larger of the two."""
    if workers is not None and workers < least:
        raise ValueError(f"{name} must be {least} or more, not {workers}.")


def _is_client(given: Any) -> bool:
    """Whether this is a Dask client; Dask is not imported to find out."""
    return hasattr(given, "scheduler") and hasattr(given, "gather")


def _is_spec(given: Any) -> bool:
    """Whether this is a ``ClusterSpec``; without importing what makes them."""
    return type(given).__name__ == "ClusterSpec" and type(given).__module__ == "cluster.spec"


def _connect_to_cluster(cluster: Any) -> Any:
    """A client with an event loop of its own: the cluster's ends when its owner closes it."""
    from cluster.connecting import connect

    return connect(cluster.scheduler_address, security=getattr(cluster, "security", None))


def _checked(client: Any, needs: Needs = ALL_CODE) -> Any:
    """A client whose cluster can run our batches; closed if it cannot.

    Raises:
        VersionMismatch: the cluster has other versions.
    """
    from cluster.versions import check_versions

    try:
        check_versions(client, needs)
    except BaseException:
        client.close()
        raise
    return client


def _close_if_alive(reference: weakref.ref[DaskTaskRunner]) -> None:
    runner = reference()
    if runner is not None:
        runner.close()
