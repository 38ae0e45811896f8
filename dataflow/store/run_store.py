"""What a store of runs promises, and where the one in use is.

Writing and reading are meant for different people: one thread of each process that drives runs
writes, in large portions; anyone reads, from any thread or process, and never waits for a writer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from dataflow.store.artifact_store import ArtifactStore
from dataflow.store.store_places import StorePlace, find_place
from dataflow.store.variable_store import VariableStore

if TYPE_CHECKING:
    from dataflow.model.records import Record
    from dataflow.model.states import State
    from dataflow.store.run_control import RunControl
    from dataflow.store.slots import Slots
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
    from dataflow.store.transfer import Imported
    from dataflow.store.upkeep import StoreInfo


class RunStore(ArtifactStore, VariableStore, Protocol):
    """Where runs are recorded, and what they show and share.

    A run id that is not there has no states, nodes, failures or logs; only ``run`` and ``element``
    raise. Records may arrive in any order, those of a run before the run's own.
    """

    @property
    def control(self) -> RunControl:
        """What runs and processes have in common."""

    @property
    def slots(self) -> Slots:
        """Limits on what goes on at once."""

    def write(self, records: Sequence[Record]) -> None:
        """Store records, all of them or none; when this returns, whoever asks sees them.

        A node that is sent again replaces the earlier one; of what batch records say of the same
        element, the last counts. States of elements come from batch records alone; attempt records
        add messages, exceptions and earlier attempts to them.

        Raises:
            InvalidTransition: a run cannot enter a state from the one that it is in (another
                process may have cancelled it); ``run_id`` says which, ``refused`` is the record.
                Nothing was stored.
            StoreUnwritable: there is no room, or no right to write. Nothing was stored.
            StoreUnreachable: the database has been away for too long. Nothing was stored.
        """

    def close(self) -> None:
        """Let go of the store; does nothing if that has been done."""

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
        """Runs that fulfil all conditions, newest first.

        Args:
            name: the run's own name.
            flow_name: the name of its flow.
            state: types (``FAILED``, or in lower case) or names (``TimedOut``) of states, any of
                which it is in.
            started_after: it was made later than that.
            started_before: it was made earlier than that.
            parent_run_id: None for runs that are no subflows; ``...`` for all.
            tags: it has each of these.
            limit: at most so many; None for all.
            offset: so many are left out at the front.
        """

    def run(self, wanted: str) -> RunSummary:
        """The run with that id, else with that name, else whose id begins so.

        Raises:
            RunNotFound: there is none (names that are close are in the hint), or more than one
                (``candidates`` has their ids).
        """

    def run_states(self, run_id: str, run_count: int | None = None) -> list[State[Any]]:
        """All states that a run was in, or those of one attempt, oldest first."""

    def nodes(self, run_id: str) -> list[NodeSummary]:
        """All nodes of a run in the order of their numbers, with exact counts by state."""

    def element(self, run_id: str, node: int, index: int = 0) -> ElementDetail:
        """One element: its state (Pending where nothing is recorded), attempts and logs.

        Raises:
            StoreError: the run has no such node, or the node no such element.
        """

    def failures(
        self, run_id: str, node: int | None = None, limit: int | None = 100
    ) -> list[FailureSummary]:
        """Elements that ended Failed, TimedOut or Crashed, ordered by node and index.

        An element that failed first and then succeeded is none of them.
        """

    def elements_in(self, run_id: str, codes: Collection[int]) -> list[tuple[int, int]]:
        """Node and index of each element that is in one of some states, in no special order."""

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
        """Lines of a run, of one of its nodes or elements, in the order of time.

        Args:
            run_id: the run.
            node: only lines of this node.
            index: only lines of this element.
            level: only lines of this level or above.
            after: the ``id`` of a line: only lines that were stored later, in the order of storing;
                whoever follows a run asks so again and again and misses none.
            limit: at most so many, the first ones.
        """

    def timing(self, run_id: str) -> list[NodeTiming]:
        """The time that went into each node that ran, by the number of the node."""

    def task_seconds(
        self, tasks: Collection[str], flow_name: str = "", runs: int = 5
    ) -> dict[str, float]:
        """The mean duration of a call of each of these tasks in the last runs that had such.

        Those of runs of this flow count, where there are any: in another, a task of the same name
        may be another task. Tasks that have never been measured are not in it.
        """

    def phases(self, run_id: str) -> PhaseSeconds | None:
        """Where the time of a run went; None if that was not written (see ``Run.timing``)."""

    def info(self) -> StoreInfo:
        """What is in the store, and what it takes."""

    def results(self, run_id: str) -> list[ResultsSummary]:
        """Where the results of a run are, in the order of writing: later rows count."""

    def transaction_values(self, run_id: str) -> list[tuple[int, int, str, bytes | None]]:
        """What the task runs of a run have set in transactions: node, element, name and value.

        Values are pickled; None: that could not be. Later ones count.
        """

    def committed_nodes(self, run_id: str) -> dict[int, int]:
        """The nodes of a run whose task runs were committed, and until when (epoch nanoseconds)."""

    def result_at(self, run_id: str, node: int, index: int = 0) -> ResultPlace | None:
        """Where the result of one element is; None: it was not kept."""

    def cached_results(self, keys: Sequence[bytes], now_ns: int) -> dict[bytes, ResultPlace]:
        """What cache keys lead to, as far as it may be taken at that time (epoch nanoseconds)."""

    def take_leases(
        self, keys: Sequence[bytes], holder: str, now_ns: int, expires_ns: int
    ) -> set[bytes]:
        """Begin to compute what cache keys lead to; those that nobody else is computing.

        A lease ends when a result with its key is written, when it is let go of, or at its time.
        """

    def renew_leases(self, holder: str, expires_ns: int, done: Sequence[bytes] = ()) -> None:
        """Keep the leases of a run until another time, and let go of those of keys ``done``."""

    def drop_leases(self, holder: str) -> None:
        """Let go of all leases of a run."""

    def dropped_results(self) -> list[tuple[str, str]]:
        """Storage (empty: that of the settings) and id of removed runs that may have left results.

        Only those are told that no run that is going on can take, or record, any more.
        """

    def named_results(self, storage: str, run_id: str) -> set[str] | None:
        """The objects of a removed run that other runs have taken; None: the run is there again."""

    def forget_dropped(self, dropped: Sequence[tuple[str, str]]) -> None:
        """The results of these runs are gone from these storages, or are to stay."""

    def vacuum(self) -> None:
        """Give back the room that removed runs have left, and have the database learn.

        In SQLite it needs as much room again for a while, and whoever writes waits until it is
        done. PostgreSQL keeps the room, for runs to come.
        """

    def prune(self, before: datetime, *, only_count: bool = False) -> int:
        """Remove runs that ended before a moment, with all that was recorded of them.

        Runs that have not ended stay, and so do the subflows of runs that stay.

        Returns:
            How many runs were removed; with ``only_count``, how many would have been.
        """

    def backup(self, path: Path) -> None:
        """Copy a SQLite store, as it is at one moment, to a new file; runs may go on meanwhile.

        Raises:
            StoreError: the store is no SQLite file.
        """

    def export_to(self, target: BinaryIO) -> int:
        """Write all runs to a file, which any store can import; returns how many there were."""

    def import_from(self, source: BinaryIO) -> Imported:
        """Take in the runs of an exported file; those that are there as complete are left alone.

        Raises:
            StoreError: it is no such file, or damaged, or its end is missing. What was imported
                before that stays, and importing again goes on there.
        """


def open_store(place: str | Path | StorePlace | None = None) -> RunStore:
    """The store at a path or URL (see :mod:`store_places`), by default the one of the settings.

    Raises:
        StoreError: the URL cannot be used.
        StoreTooNew: a newer version has written it.
        StoreNotADatabase: the file, or the schema of the database, is something else.
        StoreUnwritable: it, or its folder, cannot be written.
        StoreUnreachable: the database does not answer, or lets nobody in.
        MissingExtra: the library for this kind of database is not installed.
    """
    found = find_place(place)
    if found.path is not None:
        from dataflow.store.sqlite_store import SqliteStore

        return SqliteStore(found.path)
    from dataflow.store.postgres_store import PostgresStore

    return PostgresStore(found.url)
