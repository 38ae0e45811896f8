"""Reading what runs left behind: runs, their nodes, elements, failures, logs and artifacts.

    from dataflow.records import get_run, runs

    for run in runs(flow_name="data-pipeline", state=["FAILED"], limit=10):
        print(run.nodes())
    get_run("brisk-otter").element("clean-1", 5).exception

It may be used from any thread while runs are under way; runs whose process is gone become Crashed.
``store=`` takes a path or URL; without it, it is the store of the settings (``DATAFLOW_HOME``).
"""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import Any

from dataflow.clock import now_ns
from dataflow.errors import ArtifactNotFound, StoreError
from dataflow.model.records import SINGLE_CALLS, RunStateRecord
from dataflow.model.states import State, StateCode
from dataflow.process_ids import ProcessId
from dataflow.storage.stored_result import (
    ResultNotKept,
    StoredResult,
    flow_result,
    stored_result,
    with_result,
)
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.store_places import StorePlace, find_place
from dataflow.store.summaries import (
    ArtifactSummary,
    AttemptDetail,
    ElementDetail,
    FailureSummary,
    LogEntry,
    NodeSummary,
    NodeTiming,
    PhaseSeconds,
    RunSummary,
    VariableSummary,
)

__all__ = [
    "runs",
    "get_run",
    "artifacts",
    "get_artifact",
    "delete_artifacts",
    "variables",
    "Run",
    "RunTiming",
    "ArtifactSummary",
    "AttemptDetail",
    "ElementDetail",
    "FailureSummary",
    "LogEntry",
    "NodeSummary",
    "NodeTiming",
    "PhaseSeconds",
    "VariableSummary",
]

_ELEMENT = re.compile(r"(.+)\[(\d+)\]")
_stores: weakref.WeakValueDictionary[StorePlace, RunStore] = weakref.WeakValueDictionary()


def runs(
    *,
    name: str | None = None,
    flow_name: str | None = None,
    state: str | Collection[str] | None = None,
    started_after: datetime | None = None,
    started_before: datetime | None = None,
    parent_run_id: str | EllipsisType | None = ...,
    tags: Collection[str] = (),
    limit: int | None = 100,
    offset: int = 0,
    store: str | Path | None = None,
) -> list[Run]:
    """Runs that fulfil all conditions, newest first.

    Args:
        name: the run's own name.
        flow_name: the name of its flow.
        state: types (``"FAILED"`` or ``"failed"``: TimedOut runs too) or names (``"TimedOut"``) of
            states, any of which it is in.
        started_after: it began later than that (without a zone: local time).
        started_before: it began earlier than that.
        parent_run_id: the run that it is a subflow of; None for runs that are no subflows.
        tags: it has each of these.
        limit: at most so many; None for all.
        offset: so many are left out at the front.
        store: path or URL of the store.
    """
    source = _store(store)
    source.control.crash_vanished()
    found = source.find_runs(
        name=name,
        flow_name=flow_name,
        state=state,
        started_after=started_after,
        started_before=started_before,
        parent_run_id=parent_run_id,
        tags=tags,
        limit=limit,
        offset=offset,
    )
    return [Run(summary, source) for summary in found]


def get_run(wanted: str, *, store: str | Path | None = None) -> Run:
    """The run with that id, else with that name, else whose id begins so.

    Raises:
        RunNotFound: there is none, or more than one (the message lists them).
    """
    source = _store(store)
    source.control.crash_vanished()
    return Run(source.run(wanted), source)


def artifacts(
    key: str | None = None,
    *,
    type: str | None = None,
    run: Run | str | None = None,
    latest: bool = False,
    limit: int | None = 100,
    offset: int = 0,
    store: str | Path | None = None,
) -> list[ArtifactSummary]:
    """Artifacts that fulfil all conditions, newest first.

    Args:
        key: versions of that key only; the first one found is the last one made.
        type: ``"markdown"``, ``"table"``, ``"link"``, ``"progress"`` or ``"image"``.
        run: made in that run (an object, an id or a name).
        latest: of each key only the last version; those without a key all.
        limit: at most so many; None for all.
        offset: so many are left out at the front.
        store: path or URL of the store.

    Raises:
        RunNotFound: there is no such run.
    """
    source = _store(store)
    if isinstance(run, Run):
        run = run.id
    run_id = None if run is None else source.run(run).run_id
    return source.artifacts(
        key=key, type=type, run_id=run_id, latest=latest, limit=limit, offset=offset
    )


def get_artifact(
    wanted: str, *, version: int | None = None, store: str | Path | None = None
) -> ArtifactSummary:
    """The last version of a key, or another one, or the artifact with an id.

    Raises:
        ArtifactNotFound: there is none.
    """
    source = _store(store)
    found = source.artifacts(key=wanted, limit=None if version is not None else 1)
    found = found or source.artifacts(artifact_id=wanted)
    for each in found:
        if version in (None, each.version):
            return each
    which = f"version {version} of " if version is not None and found else ""
    raise ArtifactNotFound(
        f"There is no {which}artifact with the key or id {wanted!r}.",
        hint="`dataflow artifacts ls` lists them.",
        wanted=wanted,
    )


def delete_artifacts(wanted: str, *, store: str | Path | None = None) -> int:
    """Delete all versions of a key, or the artifact with an id; returns how many those were."""
    source = _store(store)
    return source.delete_artifacts(key=wanted) or source.delete_artifacts(artifact_id=wanted)


def variables(
    *, tags: Collection[str] = (), store: str | Path | None = None
) -> list[VariableSummary]:
    """The variables that have each of these tags, by name (``Variable`` gets and sets them)."""
    wanted = {tags} if isinstance(tags, str) else set(tags)
    return [each for each in _store(store).variables() if wanted <= set(each.tags)]


@dataclass(frozen=True, slots=True)
class RunTiming:
    """Where the time of a run went.

    Attributes:
        wall_seconds: from the run's start to its end; None while it has none of them.
        busy_seconds: the durations of all calls together, retries included.
        calls: how many calls there were.
        nodes: the same for each node that ran.
        phases: what else there was to do; None while the run goes on, and where nobody wrote it:
            the run is older than these, or its process was killed.
    """

    wall_seconds: float | None
    busy_seconds: float
    calls: int
    nodes: tuple[NodeTiming, ...] = field(repr=False)
    phases: PhaseSeconds | None = None


class Run:
    """A flow run as the store has it.

    ``state`` and the other attributes are as they were when this object was made (see
    :meth:`refresh`); the methods ask the store when they are called.
    """

    def __init__(self, summary: RunSummary, store: RunStore) -> None:
        self.summary = summary
        self._store = store

    @property
    def id(self) -> str:
        """The run's id."""
        return self.summary.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self.summary.name

    @property
    def flow_name(self) -> str:
        """The name of its flow."""
        return self.summary.flow_name

    @property
    def state(self) -> State[Any]:
        """The state that it is in; its ``result()`` is read from where it was persisted."""
        return flow_result(self.id, self.name, self.summary.state, self._store)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it was given."""
        return self.summary.parameters

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self.summary.tags

    @property
    def created(self) -> datetime:
        """When it was made."""
        return self.summary.created

    @property
    def started(self) -> datetime | None:
        """When it first was running, if it has been."""
        return self.summary.started

    @property
    def ended(self) -> datetime | None:
        """When it ended, if it has."""
        return self.summary.ended

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, if it has both."""
        return self.summary.duration_seconds

    def refresh(self) -> Run:
        """The same run as it is now."""
        self._store.control.crash_vanished()
        return Run(self._store.run(self.id), self._store)

    @property
    def driver(self) -> ProcessId | None:
        """The process that drives it now; None: none does, or it goes on inside a worker."""
        return self._store.control.driver(self.id)

    def enter(self, code: StateCode, message: str | None) -> None:
        """Put it into a state.

        Raises:
            InvalidTransition: it cannot enter that from the one that it is in.
        """
        count = self.summary.run_count
        state = RunStateRecord(self.id, code, code.state_name, message, now_ns(), count)
        self._store.write([state])

    def resume_paused(self, put_in: str | None) -> bool:
        """Put it into Resuming if it is Paused; False if it is not, or not any more."""
        return self._store.control.resume_paused(self.id, put_in)

    def cancel_undriven(self, message: str) -> bool:
        """Put it into Cancelled if nobody drives it; False if somebody does, or it has ended."""
        return self._store.control.cancel_undriven(self.id, message)

    def states(self) -> list[State[Any]]:
        """All states that it was in, oldest first."""
        return self._store.run_states(self.id)

    def nodes(self) -> list[NodeSummary]:
        """The nodes of its graph, each with the number of its elements in each state."""
        return self._store.nodes(self.id)

    def node(self, wanted: int | str) -> NodeSummary:
        """One node, by its number, name or key, or by its task's name if there is but one.

        Raises:
            StoreError: there is none, or more than one.
        """
        return _find_node(self, self.nodes(), wanted)

    def element(self, node: int | str, index: int = 0) -> ElementDetail:
        """One element: its state, attempts, times, worker, exception and logs.

        Args:
            node: as for :meth:`node`; a name may end in an index: ``"clean-1[5]"``.
            index: which element of a map.

        Raises:
            StoreError: there is no such element.
        """
        if isinstance(node, str):
            nodes = self.nodes()
            match = _ELEMENT.fullmatch(node)
            if match is not None and not any(node == each.name for each in nodes):
                node, index = match[1], int(match[2])
            node = _find_node(self, nodes, node).node
        return with_result(self._store.element(self.id, node, index), self._store)

    def results(self, node: int | str) -> list[Any]:
        """The results of all elements of a node, read from where they were persisted.

        Raises:
            ResultMissing: one was not persisted, or is not there any more.
        """
        found = self.node(node)
        count = found.length if found.kind == "map" else 1
        places: dict[int, StoredResult] = {}
        for row in self._store.results(self.id):
            if row.node == found.node:
                own: Iterable[tuple[int, int]] = zip(row.elements, row.numbers, strict=True)
            elif row.node == SINGLE_CALLS and found.node in row.elements:
                own = [(0, row.numbers[row.elements.index(found.node)])]
            else:
                continue
            result_object = row.object_of(self.id)
            for element, number in own:
                places[element] = stored_result((result_object, number))
        return [
            places.get(at, ResultNotKept(f"task run {found.element_name(at)!r}")).load()
            for at in range(count or 0)
        ]

    def failures(
        self, node: int | str | None = None, limit: int | None = 100
    ) -> list[FailureSummary]:
        """Elements that ended Failed, TimedOut or Crashed, ordered by node and index."""
        number = self.node(node).node if isinstance(node, str) else node
        return self._store.failures(self.id, number, limit)

    def logs(
        self,
        node: int | str | None = None,
        index: int | None = None,
        *,
        level: int | str | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[LogEntry]:
        """Its log lines in the order of time.

        Args:
            node: only lines of this node (as for :meth:`node`).
            index: only lines of this element.
            level: only lines of this level (``"WARNING"``, or a number) or above.
            after: the ``id`` of a line: only lines stored later, as they were stored.
            limit: at most so many, the first ones.
        """
        number = self.node(node).node if isinstance(node, str) else node
        return self._store.logs(
            self.id, number, index, level=_level(level), after=after, limit=limit
        )

    def subflows(self) -> list[Run]:
        """The runs of flows that this one called, newest first."""
        found = self._store.find_runs(parent_run_id=self.id, limit=None)
        return [Run(summary, self._store) for summary in found]

    def artifacts(self, key: str | None = None) -> list[ArtifactSummary]:
        """What it showed, newest first; with a key only versions of that."""
        return self._store.artifacts(key=key, run_id=self.id, limit=None)

    def timing(self) -> RunTiming:
        """Where its time went, in sums."""
        nodes = tuple(self._store.timing(self.id))
        busy = sum(each.busy_seconds for each in nodes)
        calls = sum(each.calls for each in nodes)
        wall = self.refresh().duration_seconds
        return RunTiming(wall, busy, calls, nodes, self._store.phases(self.id))

    def __eq__(self, other: object) -> bool:
        return self.summary == other.summary if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Run {self.name!r} of {self.flow_name!r}: {self.state.name}, id {self.id}>"


def _store(place: str | Path | None) -> RunStore:
    found = find_place(place)
    store = _stores.get(found)
    if store is None:
        if place is not None and found.path is not None and not found.path.exists():
            hint = "Check the path, or leave it out to read the store of the settings."
            raise StoreError(f"There is no store at {found}.", hint=hint, path=str(found))
        store = _stores[found] = open_store(found)
    return store


def _find_node(run: Run, nodes: list[NodeSummary], wanted: int | str) -> NodeSummary:
    found: list[NodeSummary] = []
    for column in ("node",) if isinstance(wanted, int) else ("name", "key", "task_name"):
        found = found or [each for each in nodes if getattr(each, column) == wanted]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{each.node} ({each.name})" for each in (found or nodes)[:8])
    if found:
        text, hint = f"{wanted!r} means several nodes of {run!r}.", f"They are: {shown}."
    else:
        text, hint = f"{run!r} has no node {wanted!r}.", f"It has: {shown or 'none yet'}."
    raise StoreError(text, hint=hint, run_id=run.id, node=wanted)


def _level(level: int | str | None) -> int | None:
    if not isinstance(level, str):
        return level
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        known = ", ".join(logging.getLevelNamesMapping())
        raise ValueError(f"{level!r} is no log level; these are: {known}")
    return number
