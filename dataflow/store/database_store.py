"""A store in any database: it keeps what :class:`dataflow.store.run_store.RunStore` promises.

Every write is one transaction: what a returned ``write`` holds survives the death of this process
at any moment, and readers see it whole or not at all. What is needed only for reading is imported
by the first read: a process that drives a run seldom reads.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, BinaryIO

from dataflow.model.records import Record
from dataflow.store.database import Database
from dataflow.store.database_control import DatabaseControl
from dataflow.store.record_rows import clean_text, pack, put

if TYPE_CHECKING:
    from dataflow.model.states import State
    from dataflow.store.database_slots import DatabaseSlots
    from dataflow.store.stored_results import ResultPlace, ResultsSummary
    from dataflow.store.summaries import (
        ArtifactSummary,
        ElementDetail,
        FailureSummary,
        LogEntry,
        NodeSummary,
        NodeTiming,
        PhaseSeconds,
        RunSummary,
        VariableSummary,
    )
    from dataflow.store.transfer import Imported
    from dataflow.store.upkeep import StoreInfo


class DatabaseStore:
    """The store in ``database``.

    Attributes:
        control: what runs and processes have in common.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.control = DatabaseControl(database)
        self._finalizer = weakref.finalize(self, database.close)

    def close(self) -> None:
        """See :meth:`RunStore.close`."""
        self._finalizer()

    @property
    def slots(self) -> DatabaseSlots:
        """See :attr:`RunStore.slots`."""
        from dataflow.store.database_slots import DatabaseSlots

        return DatabaseSlots(self._database)

    def write(self, records: Sequence[Record]) -> None:
        """See :meth:`RunStore.write`."""
        try:
            self._write(records)
        except UnicodeError:
            keep_nul = self._database.takes_nul
            self._write([clean_text(record, keep_nul=keep_nul) for record in records])

    def _write(self, records: Sequence[Record]) -> None:
        rows = pack(records)
        self._database.write(lambda transaction: put(rows, transaction))

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
        from dataflow.store import run_queries
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
        return self._database.read(
            lambda view: run_queries.find_runs(view, conditions, limit, offset)
        )

    def run(self, wanted: str) -> RunSummary:
        """See :meth:`RunStore.run`."""
        from dataflow.store import run_queries

        where = self._database.shown
        return self._database.read(lambda view: run_queries.find_run(view, wanted, where))

    def run_states(self, run_id: str, run_count: int | None = None) -> list[State[Any]]:
        """See :meth:`RunStore.run_states`."""
        from dataflow.store import run_queries

        return self._database.read(lambda view: run_queries.run_states(view, run_id, run_count))

    def nodes(self, run_id: str) -> list[NodeSummary]:
        """See :meth:`RunStore.nodes`."""
        from dataflow.store import node_queries

        return self._database.read(lambda view: node_queries.nodes(view, run_id))

    def element(self, run_id: str, node: int, index: int = 0) -> ElementDetail:
        """See :meth:`RunStore.element`."""
        from dataflow.store import node_queries

        return self._database.read(lambda view: node_queries.element(view, run_id, node, index))

    def failures(
        self, run_id: str, node: int | None = None, limit: int | None = 100
    ) -> list[FailureSummary]:
        """See :meth:`RunStore.failures`."""
        from dataflow.store import node_queries

        return self._database.read(lambda view: node_queries.failures(view, run_id, node, limit))

    def elements_in(self, run_id: str, codes: Collection[int]) -> list[tuple[int, int]]:
        """See :meth:`RunStore.elements_in`."""
        from dataflow.store import node_queries

        return self._database.read(
            lambda view: node_queries.elements_in_states(view, run_id, codes)
        )

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
        from dataflow.store import run_queries

        return self._database.read(
            lambda view: run_queries.logs(view, run_id, node, index, level, after, limit)
        )

    def task_seconds(
        self, tasks: Collection[str], flow_name: str = "", runs: int = 5
    ) -> dict[str, float]:
        """See :meth:`RunStore.task_seconds`."""
        from dataflow.store import run_queries

        return self._database.read(
            lambda view: run_queries.task_seconds(view, tasks, flow_name, runs)
        )

    def timing(self, run_id: str) -> list[NodeTiming]:
        """See :meth:`RunStore.timing`."""
        from dataflow.store import node_queries

        return self._database.read(lambda view: node_queries.timing(view, run_id))

    def phases(self, run_id: str) -> PhaseSeconds | None:
        """See :meth:`RunStore.phases`."""
        from dataflow.store import run_queries

        return self._database.read(lambda view: run_queries.phases(view, run_id))

    def info(self) -> StoreInfo:
        """See :meth:`RunStore.info`."""
        from dataflow.store.upkeep import store_info

        return store_info(self._database)

    def vacuum(self) -> None:
        """See :meth:`RunStore.vacuum`."""
        self._database.vacuum()

    def prune(self, before: datetime, *, only_count: bool = False) -> int:
        """See :meth:`RunStore.prune`."""
        from dataflow.store.upkeep import find_old_runs, prune

        if only_count:
            return len(find_old_runs(self._database, before))
        return prune(self._database, before)

    def backup(self, path: Path) -> None:
        """See :meth:`RunStore.backup`."""
        self._database.backup(path)

    def export_to(self, target: BinaryIO) -> int:
        """See :meth:`RunStore.export_to`."""
        from dataflow.store.transfer import export_runs

        return export_runs(self._database, target)

    def import_from(self, source: BinaryIO) -> Imported:
        """See :meth:`RunStore.import_from`."""
        from dataflow.store.transfer import import_runs

        return import_runs(self._database, source)

    # --- results ---------------------------------------------------------------------------------

    def results(self, run_id: str) -> list[ResultsSummary]:
        """See :meth:`RunStore.results`."""
        from dataflow.store import result_queries

        return self._database.read(lambda view: result_queries.results(view, run_id))

    def transaction_values(self, run_id: str) -> list[tuple[int, int, str, bytes | None]]:
        """See :meth:`RunStore.transaction_values`."""
        from dataflow.store import result_queries

        return self._database.read(lambda view: result_queries.transaction_values(view, run_id))

    def committed_nodes(self, run_id: str) -> dict[int, int]:
        """See :meth:`RunStore.committed_nodes`."""
        from dataflow.store import result_queries

        return self._database.read(lambda view: result_queries.committed_nodes(view, run_id))

    def result_at(self, run_id: str, node: int, index: int = 0) -> ResultPlace | None:
        """See :meth:`RunStore.result_at`."""
        from dataflow.store import result_queries

        return self._database.read(lambda view: result_queries.result_at(view, run_id, node, index))

    def cached_results(self, keys: Sequence[bytes], now_ns: int) -> dict[bytes, ResultPlace]:
        """See :meth:`RunStore.cached_results`."""
        from dataflow.store import result_queries

        return self._database.read(lambda view: result_queries.cached_results(view, keys, now_ns))

    def take_leases(
        self, keys: Sequence[bytes], holder: str, now_ns: int, expires_ns: int
    ) -> set[bytes]:
        """See :meth:`RunStore.take_leases`."""
        from dataflow.store import result_queries

        values = (keys, holder, now_ns, expires_ns)
        return self._database.write(lambda open_: result_queries.take_leases(open_, *values))

    def renew_leases(self, holder: str, expires_ns: int, done: Sequence[bytes] = ()) -> None:
        """See :meth:`RunStore.renew_leases`."""
        from dataflow.store import result_queries

        values = (holder, expires_ns, done)
        self._database.write(lambda open_: result_queries.renew_leases(open_, *values))

    def drop_leases(self, holder: str) -> None:
        """See :meth:`RunStore.drop_leases`."""
        from dataflow.store import result_queries

        self._database.write(lambda open_: result_queries.drop_leases(open_, holder))

    def dropped_results(self) -> list[tuple[str, str]]:
        """See :meth:`RunStore.dropped_results`."""
        from dataflow.store import dropped_results

        return self._database.read(dropped_results.find_dropped)

    def named_results(self, storage: str, run_id: str) -> set[str] | None:
        """See :meth:`RunStore.named_results`."""
        from dataflow.store import dropped_results

        return self._database.read(
            lambda view: dropped_results.named_results(view, storage, run_id)
        )

    def forget_dropped(self, dropped: Sequence[tuple[str, str]]) -> None:
        """See :meth:`RunStore.forget_dropped`."""
        self._database.write(lambda open_: open_.change("forget_dropped", dropped))

    # --- artifacts and variables -----------------------------------------------------------------

    def artifacts(
        self,
        *,
        artifact_id: str | None = None,
        key: str | None = None,
        type: str | None = None,
        run_id: str | None = None,
        latest: bool = False,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[ArtifactSummary]:
        """See :meth:`ArtifactStore.artifacts`."""
        from dataflow.store.artifact_queries import find_artifacts
        from dataflow.store.artifact_rows import artifact_conditions

        conditions = artifact_conditions(artifact_id, key, type, run_id, latest)
        return self._database.read(lambda view: find_artifacts(view, conditions, limit, offset))

    def delete_artifacts(self, *, artifact_id: str | None = None, key: str | None = None) -> int:
        """See :meth:`ArtifactStore.delete_artifacts`."""
        from dataflow.store.artifact_queries import delete_artifacts
        from dataflow.store.artifact_rows import artifact_conditions

        conditions = artifact_conditions(artifact_id, key)
        return self._database.write(lambda transaction: delete_artifacts(transaction, conditions))

    def variable(self, name: str) -> VariableSummary | None:
        """See :meth:`VariableStore.variable`."""
        from dataflow.store import variable_queries

        return self._database.read(lambda view: variable_queries.variable(view, name))

    def variables(self) -> list[VariableSummary]:
        """See :meth:`VariableStore.variables`."""
        from dataflow.store import variable_queries

        return self._database.read(variable_queries.variables)

    def set_variable(
        self, name: str, value_json: str, tags: Collection[str], now_ns: int, overwrite: bool
    ) -> bool:
        """See :meth:`VariableStore.set_variable`."""
        from dataflow.store import variable_queries

        values = (name, value_json, tags, now_ns, overwrite)
        return self._database.write(
            lambda transaction: variable_queries.set_variable(transaction, *values)
        )

    def delete_variable(self, name: str) -> bool:
        """See :meth:`VariableStore.delete_variable`."""
        from dataflow.store import variable_queries

        return self._database.write(
            lambda transaction: variable_queries.delete_variable(transaction, name)
        )
