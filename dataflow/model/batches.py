"""Batches and their reports: what a runner is given, and what it gives back.

**A batch is a sequence of calls; a report is columns over those calls.** Call ``p`` of a batch is
found at position ``p`` of every column, whatever the batch is made of:

* :class:`MapBody`: some elements of one or more fused map stages, element by element, so that call
  ``p`` is stage ``p % S`` of the ``p // S``-th element;
* :class:`CallBody`: single calls in an order in which each comes after what it needs.

Arguments that are not plain values are *sources*: where the worker finds the value.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

MAX_LOSSES = 3
"""How many workers may be lost at a call before it is to blame."""


class TaskLike(Protocol):
    """What a worker needs to know of a task."""

    fn: Callable[..., Any]
    name: str
    kind: str  # "sync", "async", "generator" or "async_generator"
    timeout_seconds: float | None
    log_prints: bool | None
    retry_policy: Any
    run_name: Any
    signature: Any


class Column(Protocol):
    """Some values, in order (see ``dataflow.worker.columns``)."""

    @property
    def count(self) -> int:
        """How many values."""

    @property
    def nbytes(self) -> int:
        """About how much memory they take."""

    def load(self, position: int) -> Any:
        """The value at ``position``; raises ``ResultMissing`` if it is not there any more."""

    def load_all(self) -> list[Any]:
        """All values."""


class Const(NamedTuple):
    """The same value for every element."""

    value: Any


class Failed(NamedTuple):
    """The exception of a task run that failed, for a task that allows it.

    ``skipped`` is the name of a task run that did not even begin because of that failure.
    """

    failure: Failure
    skipped: str | None


class Each(NamedTuple):
    """One value for each element of the batch, in its order."""

    values: Sequence[Any]


class EachPickled(NamedTuple):
    """One value for each element, pickled when the map was called: ``chunks`` of ``size`` values.

    ``offset`` values of the first chunk belong to earlier batches.
    """

    chunks: Sequence[bytes]
    offset: int


class Slot(NamedTuple):
    """The value of an earlier call: of the same element (a stage), or of the batch (a position)."""

    number: int
    allow_failure: bool = False


class Given(NamedTuple):
    """One value of an input column."""

    column: int
    position: int


class GivenEach(NamedTuple):
    """For each element a source of its own."""

    sources: Sequence[Any]


class GivenSpan(NamedTuple):
    """For each element the next value of these ranges ``(column, start, stop)``."""

    ranges: Sequence[tuple[int, int, int]]


class GivenList(NamedTuple):
    """Many values of input columns as one list: ``(column, start, stop)`` ranges in order."""

    ranges: Sequence[tuple[int, int, int]]


class Items(NamedTuple):
    """For element ``i`` the ``i``-th item of one value of an input column."""

    column: int
    position: int


class Hole(NamedTuple):
    """Where in a container a future stood: the value of source ``number`` belongs there."""

    number: int


class Nested(NamedTuple):
    """A container with holes, the same for every element."""

    template: Any
    sources: tuple[Any, ...]


class EachNested(NamedTuple):
    """One value for each element, some of them containers with holes."""

    values: Sequence[Any]
    sources: Sequence[tuple[Any, ...]]


class Joined(NamedTuple):
    """For runs of elements a source each: ``(source, how many elements)``, in order."""

    parts: Sequence[tuple[Any, int]]


Source = (
    Const
    | Failed
    | Each
    | EachPickled
    | EachNested
    | Slot
    | Given
    | GivenEach
    | GivenSpan
    | GivenList
    | Items
    | Joined
    | Nested
)


@dataclass(slots=True)
class Stage:
    """One map of a fused chain: its task (by number) and where its arguments come from."""

    task: int
    node: int
    number: int
    args: tuple[Source, ...]
    kwargs: dict[str, Source]
    keep: bool = True


@dataclass(slots=True)
class MapBody:
    """Elements ``indices`` of fused map stages, in ascending order but not always in a row."""

    indices: Sequence[int]
    stages: tuple[Stage, ...]

    @property
    def calls(self) -> int:
        """How many calls these are."""
        return len(self.indices) * len(self.stages)


WAITS = ""


@dataclass(slots=True)
class CallBody:
    """Single calls. ``arguments[p]`` is ``(args, kwargs)``, or both pickled together as bytes.

    ``links[p]`` says which of them come from elsewhere: pairs of an argument's position or name and
    its source; with None for the position, the sources of all holes in the arguments; with WAITS,
    the calls of the same batch that have to end well before it begins. The sources that most links
    have are plain, since they are pickled three times as fast: a number is a Slot, a pair of
    numbers a Given.

    ``last_uses`` has the calls whose values nobody needs but calls of this batch, and by which of
    them each is used last (by itself: nobody needs it).
    """

    tasks: list[int]
    nodes: list[int]
    numbers: list[int]
    arguments: list[Any]
    links: list[Any]
    last_uses: dict[int, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """How many calls these are."""
        return len(self.tasks)


Body = MapBody | CallBody


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a run is recorded, for those who are elsewhere.

    Attributes:
        place: a path, or a URL, perhaps with a password in it.
        run_id: a run that the store has: by it one knows whether what is found at that place is the
            store, or one of the same name on another machine.
    """

    place: str = field(repr=False)
    run_id: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a task may ask about the flow run that it belongs to."""

    run_id: str
    name: str
    flow_name: str
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    run_count: int = 1
    parent_run_id: str | None = None
    scheduled_ns: int = 0
    deployment: dict[str, Any] | None = None
    log_level: int = 20
    log_prints: bool = False
    store: StoreAddress | None = None


@dataclass(slots=True)
class Batch:
    """Calls that one worker carries out one after the other (concurrently if they are ``async``).

    Attributes:
        id: unique in this process.
        tasks: the tasks that ``body`` refers to by number.
        inputs: the columns that sources refer to by number.
        attempts: the attempt each call is at, where not all are at their first.
        seconds: how long it should take; None: nobody knows.
        budget_seconds: no new element is started after this; the rest is handed back.
        part_seconds: how long a part of its report waits for the next, at least.
        early_seconds: how long what has ended waits to be told of between two calls, at most.
        short: whether a worker may hold another batch while it carries out this one.
        lengths: positions whose value's length the planner needs (dynamic maps).
        exact: every value is packed on its own (large values, wanted one by one).
        values_stay: the values are left with the worker, under a reference.
        value_bytes: what they will probably take; None: nobody knows.
        parameters: the input that has the run's parameters, where they are too large for ``run``.
        dispatch_ns: what its runner spent on sending it after ``submit`` had returned.
        suspect: whether one of its calls may have ended a worker.
        alone: whether no worker may be lost with it any more: it should have one to itself.
        keeps: by the number of the task, how its results are persisted (``storage.keeping.Keep``).
    """

    id: int
    run: RunInfo
    tasks: list[TaskLike]
    body: Body
    inputs: list[Column] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    seconds: float | None = None
    budget_seconds: float = 1e9
    part_seconds: float = 0.0
    early_seconds: float = math.inf
    short: bool = False
    lengths: frozenset[int] = frozenset()
    exact: bool = False
    values_stay: bool = False
    value_bytes: float | None = None
    resources: dict[str, float] = field(default_factory=dict)
    priority: int = 0
    parameters: int | None = None
    dispatch_ns: int = 0
    suspect: bool = False
    alone: bool = False
    keeps: dict[int, Any] = field(default_factory=dict)

    @property
    def is_concurrent(self) -> bool:
        """Whether its calls are made concurrently, on an event loop."""
        return any(task.kind.startswith("async") for task in self.tasks)


def seconds_of(batches: Iterable[Batch]) -> float:
    """How long these should take, one after the other; of what nobody knows, nothing."""
    return sum(batch.seconds or 0.0 for batch in batches)


@dataclass(slots=True)
class Failure:
    """An exception that ended a call, in a form that crosses processes.

    Attributes:
        type, message: what it says.
        exception: a pickle of it with its traceback.
        traceback: the text, from the user's first line on.
        cause_position: the call of the same batch that is really at fault.
        source: the name of the task run that raised it.
        original: the exception itself, where it never left this process.
    """

    type: str
    message: str
    exception: bytes
    traceback: str
    cause_position: int | None = None
    source: str | None = None
    original: BaseException | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        cause = (self.cause_position, self.source)
        return Failure, (self.type, self.message, self.exception, self.traceback, *cause)


class Note(NamedTuple):
    """The name and message of a state that is not what its code alone says."""

    name: str
    message: str | None


class ResultPack(NamedTuple):
    """Where the results of some calls of a batch are persisted: in one object of a storage.

    Attributes:
        storage, name: the storage's URL, and the object's name there.
        serializer: what made bytes of them.
        calls: their positions; result ``n`` of the object is that of ``calls[n]``.
        digests: 16 bytes for each: the hash of what the call was given, or zeros.
        nbytes: the size of the object.
    """

    storage: str
    name: str
    serializer: str
    calls: Sequence[int]
    digests: bytes
    nbytes: int


class LogLine(NamedTuple):
    """A line logged by the call at ``position``."""

    position: int
    attempt: int
    timestamp_ns: int
    level: int
    logger: str
    message: str
    task_run_name: str


class Attempt(NamedTuple):
    """An attempt of the call at ``position`` that was followed by another one."""

    position: int
    attempt: int
    code: int
    failure: Failure | None
    started_ns: int
    ended_ns: int


@dataclass(slots=True)
class BatchReport:
    """What came of calls ``first`` to ``first + len(states)`` of a batch, in columns.

    A batch that takes long reports in parts, so that nobody waits for its slowest call: a part has
    calls that no part before it had. Positions are those of the batch; columns begin at ``first``.

    Attributes:
        states: one StateCode a call; Running where concurrent calls between others have not ended.
        ended, started: ``array('q')`` bytes of monotonic ns (``started`` None: back to back).
        clock_offset_ns: what makes epoch times of them.
        values: the values of the calls that are kept, in order, stage after stage.
        failures, notes: by position.
        attempts: the attempt that counted, by position, where it is not the first.
        earlier: attempts that were followed by others.
        delays: seconds until the next attempt, by position, of calls that await one.
        lengths: by position, of values whose length was asked for (None: it has none).
        names: by position, of task runs that have a name of their own.
        records: what these calls have shown, and what runs inside them recorded.
        dropped: calls whose values nobody needs any more, in order: ``values`` has none of them.
        results: where results are persisted.
        large: by position, the bytes of large values, wherever tasks of several kinds took turns.
        final: whether no other report of this batch follows; calls after it were not reached.
        reaches: where the batch will stop, if a part says so before it does: another may have the
            rest, rather than wait behind a call that takes its time.
        loading_ns: what the calls' times have of loading their arguments (the last report tells).
        packing_ns: what values took beside that: to be packed there, and unpacked here.
    """

    batch_id: int
    first: int
    states: bytes
    clock_offset_ns: int
    first_started_ns: int
    started: bytes | None
    ended: bytes
    values: Column | None
    worker: str
    failures: dict[int, Failure] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    earlier: list[Attempt] = field(default_factory=list)
    delays: dict[int, float] = field(default_factory=dict)
    lengths: dict[int, int | None] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    logs: list[LogLine] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    dropped: tuple[int, ...] = ()
    results: Sequence[ResultPack] = ()
    large: dict[int, int] = field(default_factory=dict)
    final: bool = True
    reaches: int | None = None
    loading_ns: int = 0
    packing_ns: int = 0

    @property
    def stop(self) -> int:
        """The position after its last call."""
        return self.first + len(self.states)

    @property
    def busy_ns(self) -> int:
        """From the first start to the last end; 0 of concurrent calls, which share a thread."""
        if self.started is not None or not self.ended:
            return 0
        last = int.from_bytes(self.ended[-8:], sys.byteorder, signed=True)
        return last - self.first_started_ns
