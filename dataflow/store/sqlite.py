"""The store in a SQLite file: see :class:`dataflow.store.run_store.RunStore` for what it promises.

Every write is one transaction in write-ahead-log mode: what a returned ``write`` holds survives the
death of this process at any moment, and readers see it whole or not at all. (When the machine
itself loses power, the last moments may be missing; the store stays consistent.) What is needed
only for reading is imported by the first read: a process that drives a run seldom reads.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from dataflow.model.records import Record
from dataflow.store import sqlite_writer
from dataflow.store.sqlite_connections import Connections

if TYPE_CHECKING:
    from dataflow.model.states import State
    from dataflow.store.stored_results import ResultPlace, ResultsSummary
    from dataflow.store.summaries import (
        ElementDetail,
        FailureSummary,
        LogEntry,
        NodeSummary,
        NodeTiming,
        PhaseSeconds,
        RunSummary,
    )


class SqliteStore:
    """The store in the SQLite file at ``path``, which is made if it is not there.

    Raises:
        StoreTooNew: a newer version has written it.
        StoreNotADatabase: the file is something else.
        StoreUnwritable: it, or its folder, cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self._connections = Connections(self.path)
        self._finalizer = weakref.finalize(self, self._connections.close)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.path)!r})"

    def close(self) -> None:
        """See :meth:`RunStore.close`."""
        self._finalizer()

    def write(self, records: Sequence[Record]) -> None:
        """See :meth:`RunStore.write`."""
        try:
            self._write(records)
        except UnicodeEncodeError:
            self._write([sqlite_writer.clean_text(record) for record in records])

    def _write(self, records: Sequence[Record]) -> None:
        rows = sqlite_writer.pack(records)
        self._connections.write(lambda connection: sqlite_writer.put(rows, connection))

    def find_runs(
        self,
        *,
        name: str | None = None,
        flow_name: str | None = None,
        state: Collection[str] | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        parent_run_id: str | EllipsisType | None = ...,
        tags: Collection[str] = (),
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[RunSummary]:
        """See :meth:`RunStore.find_runs`."""
        from dataflow.store import sqlite_runs
        from dataflow.store.run_filters import run_conditions

        conditions = run_conditions(
            name=name,
            flow_name=flow_name,
            state=state,
            started_after=started_after,
            started_before=started_before,
            parent_run_id=parent_run_id,
            tags=tags,
        )
        return self._connections.read(lambda c: sqlite_runs.find_runs(c, conditions, limit, offset))

    def run(self, wanted: str) -> RunSummary:
        """See :meth:`RunStore.run`."""
        from dataflow.store import sqlite_runs

        return self._connections.read(lambda c: sqlite_runs.find_run(c, wanted))

    def run_states(self, run_id: str) -> list[State[Any]]:
        """See :meth:`RunStore.run_states`."""
        from dataflow.store import sqlite_runs

        return self._connections.read(lambda c: sqlite_runs.run_states(c, run_id))

    def nodes(self, run_id: str) -> list[NodeSummary]:
        """See :meth:`RunStore.nodes`."""
        from dataflow.store import sqlite_nodes

        return self._connections.read(lambda c: sqlite_nodes.nodes(c, run_id))

    def element(self, run_id: str, node: int, index: int = 0) -> ElementDetail:
        """See :meth:`RunStore.element`."""
        from dataflow.store import sqlite_nodes

        return self._connections.read(lambda c: sqlite_nodes.element(c, run_id, node, index))

    def failures(
        self, run_id: str, node: int | None = None, limit: int | None = 100
    ) -> list[FailureSummary]:
        """See :meth:`RunStore.failures`."""
        from dataflow.store import sqlite_nodes

        return self._connections.read(lambda c: sqlite_nodes.failures(c, run_id, node, limit))

    def logs(
        self,
        run_id: str,
        node: int | None = None,
        index: int | None = None,
        *,
        level: int | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[LogEntry]:
        """See :meth:`RunStore.logs`."""
        from dataflow.store import sqlite_runs

        return self._connections.read(
            lambda c: sqlite_runs.logs(c, run_id, node, index, level, after, limit)
        )

    def task_seconds(self, tasks: Collection[str], runs: int = 5) -> dict[str, float]:
        """See :meth:`RunStore.task_seconds`."""
        from dataflow.store import sqlite_runs

        return self._connections.read(lambda c: sqlite_runs.task_seconds(c, tasks, runs))

    def timing(self, run_id: str) -> list[NodeTiming]:
        """See :meth:`RunStore.timing`."""
        from dataflow.store import sqlite_nodes

        return self._connections.read(lambda c: sqlite_nodes.timing(c, run_id))

    def phases(self, run_id: str) -> PhaseSeconds | None:
        """See :meth:`RunStore.phases`."""
        from dataflow.store import sqlite_runs

        return self._connections.read(lambda c: sqlite_runs.phases(c, run_id))

    def results(self, run_id: str) -> list[ResultsSummary]:
        """See :meth:`RunStore.results`."""
        from dataflow.store import sqlite_results

        return self._connections.read(lambda c: sqlite_results.results(c, run_id))

    def result_at(self, run_id: str, node: int, index: int = 0) -> ResultPlace | None:
        """See :meth:`RunStore.result_at`."""
        from dataflow.store import sqlite_results

        return self._connections.read(lambda c: sqlite_results.result_at(c, run_id, node, index))

    def cached_results(self, keys: Sequence[bytes], now_ns: int) -> dict[bytes, ResultPlace]:
        """See :meth:`RunStore.cached_results`."""
        from dataflow.store import sqlite_results

        return self._connections.read(lambda c: sqlite_results.cached_results(c, keys, now_ns))

    def take_leases(
        self, keys: Sequence[bytes], holder: str, now_ns: int, expires_ns: int
    ) -> set[bytes]:
        """See :meth:`RunStore.take_leases`."""
        from dataflow.store import sqlite_results

        return self._connections.write(
            lambda c: sqlite_results.take_leases(c, keys, holder, now_ns, expires_ns)
        )

    def renew_leases(self, holder: str, expires_ns: int, done: Sequence[bytes] = ()) -> None:
        """See :meth:`RunStore.renew_leases`."""
        from dataflow.store import sqlite_results

        self._connections.write(lambda c: sqlite_results.renew_leases(c, holder, expires_ns, done))

    def drop_leases(self, holder: str) -> None:
        """See :meth:`RunStore.drop_leases`."""
        from dataflow.store import sqlite_results

        self._connections.write(lambda c: sqlite_results.drop_leases(c, holder))
