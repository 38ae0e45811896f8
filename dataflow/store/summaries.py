"""What reading the store gives: runs, nodes, elements, attempts, failures, log lines.

Times are whole nanoseconds since the epoch in the fields that end in ``_ns``; beside them stand
properties that are aware UTC datetimes. Exceptions stay pickled until they are asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataflow.clock import datetime_of
from dataflow.model.parameter_text import shown_parameters
from dataflow.model.states import State, StateCode


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A flow run and the state that it is in."""

    run_id: str
    flow_name: str
    name: str
    state: State[Any]
    tags: tuple[str, ...]
    parent_run_id: str | None
    parent_node: int | None
    runner: str
    flow_version: str | None
    created_ns: int
    started_ns: int | None
    ended_ns: int | None
    state_ns: int
    run_count: int
    pid: int
    host: str
    code_path: str | None
    deployment: str | None
    parameters_json: str = field(repr=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters as they were recorded (what JSON knows not is there as text)."""
        return shown_parameters(self.parameters_json)

    @property
    def created(self) -> datetime:
        """When the run was made."""
        return datetime_of(self.created_ns)

    @property
    def started(self) -> datetime | None:
        """When it first was running, if it has been."""
        return _moment(self.started_ns)

    @property
    def ended(self) -> datetime | None:
        """When it ended, if it has."""
        return _moment(self.ended_ns)

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, if it has both."""
        if self.started_ns is None or self.ended_ns is None:
            return None
        return (self.ended_ns - self.started_ns) / 1e9


@dataclass(frozen=True, slots=True, repr=False)
class NodeSummary:
    """A node of a run's graph, with the number of its elements in each state.

    Attributes:
        kind: ``task``, ``map``, ``flow`` or ``call``.
        length: elements of a map; None while that is not known.
        upstream: the nodes whose values it takes.
        order: the nodes that it only waits for.
        codes: recorded elements by state code.
    """

    node: int
    kind: str
    key: str
    task_name: str
    name: str
    length: int | None
    upstream: tuple[int, ...]
    order: tuple[int, ...]
    tags: tuple[str, ...]
    created_ns: int
    child_run_id: str | None
    codes: Mapping[StateCode, int]

    @property
    def counts(self) -> dict[str, int]:
        """Recorded elements by the name of their state."""
        return {code.state_name: count for code, count in self.codes.items()}

    @property
    def recorded(self) -> int:
        """How many elements have any state but Pending."""
        return sum(self.codes.values())

    @property
    def created(self) -> datetime:
        """When the node was traced."""
        return datetime_of(self.created_ns)

    def element_name(self, index: int) -> str:
        """The name of the task run of one element."""
        return f"{self.name}[{index}]" if self.kind == "map" else self.name

    def __repr__(self) -> str:
        size = f" of {'?' if self.length is None else self.length}" if self.kind == "map" else ""
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"<Node {self.node} {self.name!r}, {self.kind}{size}: {counts or 'Pending'}>"


@dataclass(frozen=True, slots=True)
class AttemptDetail:
    """One attempt at an element."""

    attempt: int
    state: State[Any]
    started_ns: int
    ended_ns: int
    worker: str
    exception_type: str | None = None
    traceback: str | None = field(default=None, repr=False)
    pickled_exception: bytes | None = field(default=None, repr=False)

    @property
    def message(self) -> str | None:
        """What the state says."""
        return self.state.message

    @property
    def started(self) -> datetime:
        """When the attempt began."""
        return datetime_of(self.started_ns)

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return datetime_of(self.ended_ns)

    @property
    def duration_seconds(self) -> float:
        """How long it took."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def exception(self) -> BaseException | None:
        """The exception that ended it, of its own type, unpickled now; None if there was none.

        Where its type cannot be loaded, a ``RuntimeError`` that tells the same stands in for it.
        """
        if self.pickled_exception is None:
            return None
        from dataflow.model.batches import Failure
        from dataflow.worker.failures import revive

        kind = self.exception_type or "Exception"
        text = self.state.message or ""
        return revive(Failure(kind, text, self.pickled_exception, self.traceback or ""))


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line that a run logged; ``id`` grows with the order of storing."""

    id: int
    node: int | None
    index: int | None
    attempt: int
    timestamp_ns: int
    level: int
    logger: str
    message: str
    task_run_name: str | None

    @property
    def timestamp(self) -> datetime:
        """When it was logged."""
        return datetime_of(self.timestamp_ns)

    @property
    def level_name(self) -> str:
        """The level as a word, such as ``INFO``."""
        return logging.getLevelName(self.level)


@dataclass(frozen=True, slots=True)
class ArtifactSummary:
    """One version of an artifact: something that a program shows to people.

    Attributes:
        key: what its versions have in common; None: it stands alone.
        version: 1 for the first one of its key.
        type: ``markdown``, ``table``, ``link``, ``progress`` or ``image``.
        run_id, node, index, attempt: who made it; None outside a run (or a task).
    """

    id: str
    key: str | None
    version: int
    type: str
    description: str | None
    run_id: str | None
    node: int | None
    index: int | None
    attempt: int
    created_ns: int
    updated_ns: int
    data_json: str = field(repr=False)

    @property
    def data(self) -> Any:
        """What it shows: text, a number, or the rows of a table."""
        return json.loads(self.data_json)

    @property
    def created(self) -> datetime:
        """When it was made."""
        return datetime_of(self.created_ns)

    @property
    def updated(self) -> datetime:
        """When it changed last."""
        return datetime_of(self.updated_ns)


@dataclass(frozen=True, slots=True)
class VariableSummary:
    """A variable as the store has it."""

    name: str
    tags: tuple[str, ...]
    created_ns: int
    updated_ns: int
    value_json: str = field(repr=False)

    @property
    def value(self) -> Any:
        """What it is set to."""
        return json.loads(self.value_json)

    @property
    def created(self) -> datetime:
        """When it was set first."""
        return datetime_of(self.created_ns)

    @property
    def updated(self) -> datetime:
        """When it was set last."""
        return datetime_of(self.updated_ns)


@dataclass(frozen=True, slots=True, repr=False)
class ElementDetail:
    """One element of a node: its state, its attempts, what it logged."""

    run_id: str
    node: int
    index: int
    name: str
    task_name: str
    state: State[Any]
    attempts: tuple[AttemptDetail, ...]
    logs: tuple[LogEntry, ...]

    @property
    def last(self) -> AttemptDetail | None:
        """The attempt that counts, if there was one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def started_ns(self) -> int | None:
        """When the first attempt began."""
        return self.attempts[0].started_ns if self.attempts else None

    @property
    def ended_ns(self) -> int | None:
        """When the last attempt ended."""
        return self.attempts[-1].ended_ns if self.attempts else None

    @property
    def started(self) -> datetime | None:
        """When the first attempt began."""
        return _moment(self.started_ns)

    @property
    def ended(self) -> datetime | None:
        """When the last attempt ended."""
        return _moment(self.ended_ns)

    @property
    def worker(self) -> str | None:
        """Where the last attempt ran, as ``host:pid``."""
        return self.attempts[-1].worker if self.attempts else None

    @property
    def exception(self) -> BaseException | None:
        """The exception that ended the last attempt (see :attr:`AttemptDetail.exception`)."""
        return self.attempts[-1].exception if self.attempts else None

    @property
    def traceback(self) -> str | None:
        """The text of that exception's traceback."""
        return self.attempts[-1].traceback if self.attempts else None

    def __repr__(self) -> str:
        tried = f", attempt {self.attempts[-1].attempt}" if self.attempts else ""
        return f"<Element {self.name!r}: {self.state!r}{tried}>"


@dataclass(frozen=True, slots=True, repr=False)
class FailureSummary:
    """An element that ended Failed, TimedOut or Crashed, with its last attempt."""

    node: int
    index: int
    name: str
    task_name: str
    attempt: AttemptDetail

    @property
    def state(self) -> State[Any]:
        """The state that it ended in."""
        return self.attempt.state

    @property
    def message(self) -> str | None:
        """What the state says."""
        return self.attempt.state.message

    @property
    def exception_type(self) -> str | None:
        """The name of the exception's type."""
        return self.attempt.exception_type

    @property
    def traceback(self) -> str | None:
        """The text of its traceback, the user's own lines first."""
        return self.attempt.traceback

    @property
    def exception(self) -> BaseException | None:
        """The exception itself (see :attr:`AttemptDetail.exception`)."""
        return self.attempt.exception

    def __repr__(self) -> str:
        return f"<Failure of {self.name!r}: {self.state!r}, attempt {self.attempt.attempt}>"


@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """Where the time of a run went; phases overlap, so they do not add up to the run's own time.

    Attributes:
        tracing: calls of ``submit`` and ``map``, in the body.
        planning: finding out what can begin, and in which batches.
        dispatch: packing batches and handing them over.
        queue: from there until the first call of a batch began, all batches together.
        compute: calls of tasks, without loading their arguments and without ``async`` ones.
        transfer: loading arguments and packing and unpacking values.
        recording: writing what is here into the store, for whichever run.
    """

    tracing: float
    planning: float
    dispatch: float
    queue: float
    compute: float
    transfer: float
    recording: float


@dataclass(frozen=True, slots=True)
class NodeTiming:
    """Time that went into one node, retries included.

    Attributes:
        calls: how many calls (attempts that came back in a batch).
        busy_seconds: the sum of their durations.
        first_started_ns: when the first of them began.
        last_ended_ns: when the last of them ended.
    """

    node: int
    task_name: str
    calls: int
    busy_seconds: float
    first_started_ns: int
    last_ended_ns: int

    @property
    def wall_seconds(self) -> float:
        """From the first start to the last end."""
        return (self.last_ended_ns - self.first_started_ns) / 1e9

    @property
    def mean_seconds(self) -> float:
        """The mean duration of a call."""
        return self.busy_seconds / self.calls


def _moment(ns: int | None) -> datetime | None:
    return None if ns is None else datetime_of(ns)
