"""The records that a run leaves in the store; times are nanoseconds since the epoch, UTC.

A map or a batch is one record, never a record an element. They are tuples: a frozen dataclass takes
three times as long to make, and five times to define. Those that have an ``index`` are none, as
tuples have a method of that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dataflow.process_ids import ProcessId


class RunRecord(NamedTuple):
    """A flow run, as it began.

    ``driver`` is the process that drives it; a run inside a worker has none: it goes with the run
    that it belongs to. ``hooks`` are the states that the flow of a driven run has hooks for: that
    they are due is recorded by whoever finds it without a driver, and puts it into one of these.
    """

    run_id: str
    flow_name: str
    name: str
    parameters_json: str
    tags: tuple[str, ...]
    parent_run_id: str | None
    parent_node: int | None
    runner: str
    flow_version: str | None
    created_ns: int
    pid: int
    host: str
    code_path: str | None
    deployment: str | None = None
    driver: ProcessId | None = None
    hooks: tuple[int, ...] = ()


class RunStateRecord(NamedTuple):
    """A flow run entered a state (``code`` is a StateCode, ``name`` may be the user's own)."""

    run_id: str
    code: int
    name: str
    message: str | None
    timestamp_ns: int
    run_count: int = 1


class NodeRecord(NamedTuple):
    """A node of the graph: a task run, a map, a subflow or a call in place.

    ``upstream`` are the nodes whose values it takes, ``order`` those it only waits for.
    """

    run_id: str
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
    child_run_id: str | None = None


class NodeLengthRecord(NamedTuple):
    """A dynamic map got its length, or a subflow its run."""

    run_id: str
    node: int
    length: int | None
    child_run_id: str | None = None


class BatchRecord(NamedTuple):
    """States and times of the calls of one batch, in columns.

    With ``stages``, call ``p`` is element ``start + p // len(stages)`` of the map
    ``stages[p % len(stages)]``; with ``nodes`` (``array('q')`` bytes), call ``p`` is that node.
    ``ended`` and ``started`` are ``array('q')`` bytes of monotonic nanoseconds; with
    ``clock_offset_ns`` added they are epoch times. Without ``started`` each call started when the
    one before it ended, the first at ``first_started_ns``. Without ``attempts`` all are first ones.
    ``names`` has the task run names, by position, that are not the default ones.
    """

    run_id: str
    stages: tuple[int, ...] | None
    start: int
    nodes: bytes | None
    calls: int
    states: bytes
    clock_offset_ns: int
    first_started_ns: int
    started: bytes | None
    ended: bytes
    attempts: bytes | None
    worker: str
    names: dict[int, str] | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt that has something to tell: it failed, or has a message or a name of its own."""

    run_id: str
    node: int
    index: int
    attempt: int
    code: int
    name: str
    message: str | None
    exception_type: str | None
    exception: bytes | None
    traceback: str | None
    started_ns: int
    ended_ns: int
    worker: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line that a run logged; ``node`` and ``index`` tell the task run, if it was one."""

    run_id: str
    node: int | None
    index: int | None
    attempt: int
    timestamp_ns: int
    level: int
    logger: str
    message: str
    task_run_name: str | None
    sequence: int


class DueHooksRecord(NamedTuple):
    """Hooks of task runs, or of a run, are to be called for a state that these have entered.

    Attributes:
        number: later ones of a run have higher numbers.
        node: the node; THE_RUN: the run itself.
        start, stop: its elements; from AS_A_WHOLE on where it is not about elements.
        code, attempt: the state, and the attempt that is in it.
        called: how many of the hooks for ``start`` have been called.
    """

    run_id: str
    number: int
    node: int
    start: int
    stop: int
    code: int
    attempt: int
    called: int = 0

    @property
    def element(self) -> int | None:
        """The element whose hook is the next one; None: the node as a whole."""
        return None if self.start == AS_A_WHOLE else self.start

    def until(self, stop: int) -> DueHooksRecord:
        """The same for more elements."""
        return self._replace(stop=stop)

    def after_next(self, hooks: int) -> DueHooksRecord | None:
        """What is left when the next hook, of so many for each element, has been called."""
        if self.called + 1 < hooks:
            return self._replace(called=self.called + 1)
        if self.start + 1 < self.stop:
            return self._replace(start=self.start + 1, called=0)
        return None


THE_RUN = -1
AS_A_WHOLE = -1


class ResultRecord(NamedTuple):
    """Where results are kept: what one object of a storage has of one node.

    Attributes:
        node: the map; SINGLE_CALLS where ``elements`` are the nodes of single calls; FLOW_RESULT.
        elements, numbers: which elements, and which places in the object they have.
        made_by: the run that made them, where it is another one.
        source: the hash of the task's source.
        digests: 16 bytes for each: the hash of what its call was given, zeros where it has none.
        cache_keys: 16 bytes for each: the key that leads to it from now on (or zeros); or nothing.
        expires_ns: until when the keys lead there; None: for ever.
    """

    run_id: str
    node: int
    elements: Sequence[int]
    numbers: Sequence[int]
    storage: str
    name: str
    serializer: str
    created_ns: int
    made_by: str | None = None
    source: bytes = b""
    digests: bytes = b""
    cache_keys: bytes = b""
    expires_ns: int | None = None


class DroppedKeysRecord(NamedTuple):
    """Cache keys (16 bytes each, zeros for none) that lead to results of a run no more."""

    run_id: str
    cache_keys: bytes


SINGLE_CALLS = -1
FLOW_RESULT = -2
BY_KEY = b"by its cache key"
"""Stands for the source of results whose digests are their cache keys."""


class RunTimingRecord(NamedTuple):
    """Where the time of a run went, written with its last state.

    Phases overlap: workers compute beside each other, and beside the threads of the flow's process.

    Attributes:
        tracing_ns: calls of ``submit`` and ``map``, in the body.
        planning_ns: finding out what can begin, and in which batches.
        dispatch_ns: packing batches and handing them over.
        queue_ns: from there until the first call of a batch began, all batches together.
        compute_ns: calls, without loading their arguments; of ``async`` ones nothing, as they wait
            beside each other.
        transfer_ns: loading arguments, packing values, unpacking these.
        recording_ns: how long the writer of the process was busy during the run.
        ended_ns: when that was (epoch).
        tasks: name, calls and their nanoseconds of each task, ``async`` ones left out.
    """

    run_id: str
    tracing_ns: int
    planning_ns: int
    dispatch_ns: int
    queue_ns: int
    compute_ns: int
    transfer_ns: int
    recording_ns: int
    ended_ns: int = 0
    tasks: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TransactionValue:
    """A value that a task has set in its transaction: for the flow's process, not for the store."""

    run_id: str
    node: int
    index: int | None
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class KeptValueRecord:
    """The same for the store, in case that the run goes on later.

    Attributes:
        value: it, pickled; None: it cannot be.
    """

    run_id: str
    node: int
    index: int
    name: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class CommittedRecord:
    """The task runs of a node that have been done by now were committed by their transaction."""

    run_id: str
    node: int
    committed_ns: int


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """Something to be shown to people; ``run_id``, ``node`` and ``index`` tell who made it."""

    artifact_id: str
    key: str | None
    type: str
    description: str | None
    data_json: str
    run_id: str | None
    node: int | None
    index: int | None
    attempt: int
    created_ns: int


class ArtifactUpdateRecord(NamedTuple):
    """An artifact shows something else; without a description it keeps the one that it has."""

    artifact_id: str
    description: str | None
    data_json: str
    updated_ns: int


Record = (
    RunRecord
    | RunStateRecord
    | NodeRecord
    | NodeLengthRecord
    | BatchRecord
    | AttemptRecord
    | LogRecord
    | DueHooksRecord
    | KeptValueRecord
    | CommittedRecord
    | ResultRecord
    | DroppedKeysRecord
    | RunTimingRecord
    | ArtifactRecord
    | ArtifactUpdateRecord
)
