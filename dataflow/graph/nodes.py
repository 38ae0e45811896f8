"""Nodes of a flow's graph.

A node is one object for its whole life, so that a ``submit`` costs one allocation. Its first part
is what was traced and never changes. Its second part belongs to the run loop. Its third is what has
been announced: it changes only after the store has it, and it is all that futures look at.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from dataflow.graph.tags import current_tags
from dataflow.model.batches import Column, Failure, Note
from dataflow.model.inputs import MapInput, Ref
from dataflow.model.states import StateCode

_PENDING = int(StateCode.PENDING)
Place = tuple[Column, int]


class _Traced:
    """What every node has from its tracing.

    Attributes:
        graph, id, task, number: where it belongs; ``number`` counts the runs of the task.
        upstream, order: the references whose values it takes, and those it only waits for.
        created_ns, tags: when it was traced, and the tags in force then.
    """

    __slots__ = ("created_ns", "graph", "id", "number", "order", "tags", "task", "upstream")

    def __init__(
        self,
        graph: Any,
        task: Any,
        number: int,
        upstream: tuple[Ref, ...],
        order: tuple[Ref, ...],
        created_ns: int,
    ) -> None:
        self.graph = graph
        self.id = -1
        self.task = task
        self.number = number
        self.upstream = upstream
        self.order = order
        self.created_ns = created_ns
        self.tags = current_tags.get()

    @property
    def key(self) -> str:
        """The deterministic name of this node within its graph."""
        return f"{self.task.name}-{self.number}"


class TaskNode(_Traced):
    """One task run.

    Attributes:
        arguments: ``(args, kwargs)``, or both pickled at the call, with holes for references; gone
            when it has ended, and so are the links.
        links: where in the arguments each reference belongs: ``(position or name, Ref)``, and
            ``(None, refs)`` for the holes inside containers.
        waiting: how many nodes it still waits for.
        height: how many steps follow it on the longest path to the end of the graph.
        dependents: the nodes that wait for it.
        aboard: whether it is in a batch: then it begins there, also when all that it waits for has
            ended only in that batch.
        alone: whether it gets a batch of its own, because it may have ended its worker.
        code, failure: how it ended for the run loop.
        column, position: where its value is.
        value_length: how long its value is (None: it has no length; -1: nobody knows).
        attempt, losses: the attempt it is at, and how often its worker was lost.
        users: how many nodes that have not ended take its value (of a map as well).
        wanted: whether anyone has its future and may ask for its value.
        announced: its state, as the store has it.
        callbacks: who wants to know when it has ended.
        noticed: whether someone looked at how it ended.
    """

    __slots__ = (
        "aboard",
        "alone",
        "announced",
        "arguments",
        "attempt",
        "callbacks",
        "code",
        "column",
        "dependents",
        "ended_ns",
        "failure",
        "height",
        "links",
        "losses",
        "note",
        "noticed",
        "position",
        "run_name",
        "users",
        "value_length",
        "waiting",
        "wanted",
        "wants_length",
    )
    kind = "task"

    def __init__(
        self,
        graph: Any,
        task: Any,
        number: int,
        arguments: Any,
        links: Any,
        upstream: tuple[Ref, ...],
        order: tuple[Ref, ...],
        created_ns: int,
    ) -> None:
        # written out: a call of the other's would be a twentieth of a submit
        self.graph = graph
        self.id = -1
        self.task = task
        self.number = number
        self.upstream = upstream
        self.order = order
        self.created_ns = created_ns
        self.tags = current_tags.get()
        self.arguments = arguments
        self.links = links
        self.waiting = 0
        self.height = 0
        self.dependents: list[Any] | None = None
        self.aboard = False
        self.alone = False
        self.code = _PENDING
        self.column: Column | None = None
        self.position = 0
        self.failure: Failure | None = None
        self.attempt = 1
        self.losses = 0
        self.users = 0
        self.wanted = True
        self.wants_length = False
        self.value_length: int | None = -1
        self.announced = _PENDING
        self.ended_ns = 0
        self.note: Note | None = None
        self.run_name: str | None = None
        self.callbacks: list[Callable[[], None]] | None = None
        self.noticed = False

    length = None

    @property
    def name(self) -> str:
        """The name of the task run."""
        return self.run_name or self.key

    def ended(self, _element: int | None = None) -> bool:
        """Whether it has ended, as far as has been announced."""
        return self.announced in ENDED_CODES

    def state_code(self, _element: int | None = None) -> int:
        """The announced state."""
        return self.announced

    def place_of(self, _element: int | None = None) -> Place | None:
        """Where its value is."""
        return None if self.column is None else (self.column, self.position)

    def failure_of(self, _element: int | None = None) -> Failure | None:
        """How it failed."""
        return self.failure

    @property
    def is_needed(self) -> bool:
        """Whether anyone can still ask for its value."""
        return self.wanted or self.users > 0 or self.task.has_hooks

    def drop_if_unneeded(self) -> None:
        """Let go of a value that nobody can ask for any more."""
        if not self.is_needed:
            self.column = None


ENDED_CODES = frozenset(int(code) for code in StateCode if code.is_ended)
GOOD_CODES = frozenset(
    int(code) for code in (StateCode.COMPLETED, StateCode.CACHED, StateCode.SKIPPED)
)
BAD_CODES = ENDED_CODES - GOOD_CODES - {int(StateCode.ROLLED_BACK)}


class Segment:
    """Values of elements ``start`` to ``stop`` of a map, from ``offset`` on in a column."""

    __slots__ = ("clock_offset", "column", "ended", "offset", "start", "stop")

    def __init__(
        self,
        start: int,
        stop: int,
        column: Column | None,
        offset: int,
        ended: Sequence[int],
        clock_offset: int,
    ) -> None:
        self.start = start
        self.stop = stop
        self.column = column
        self.offset = offset
        self.ended = ended
        self.clock_offset = clock_offset


class MapNode(_Traced):
    """A task mapped over some elements: one node whatever their number.

    Attributes:
        args, kwargs: where each argument of an element comes from.
        length: the number of elements; None until it is known.
        waiting: how many nodes have to end before any element can begin.
        missing: for each element, how many of its own inputs are missing (None: none are).
        left: elements that have not ended.
        users: how many nodes that have not ended take its values.
        wanted: whether anyone has one of its futures and may ask for a value.
        codes: the announced state of each element, a byte each.
        segments: where values are, in the order in which they came.
        failure, failed_code: why its length will never be known, and the state it is in so.
    """

    __slots__ = (
        "__weakref__",
        "aligned_dependents",
        "announced_count",
        "args",
        "attempts",
        "callbacks",
        "codes",
        "dependents",
        "element_dependents",
        "failed_code",
        "failure",
        "failures",
        "height",
        "index",
        "keep",
        "kwargs",
        "left",
        "length",
        "length_callbacks",
        "length_dependents",
        "losses",
        "missing",
        "newest",
        "notes",
        "noticed",
        "run_names",
        "segments",
        "settled",
        "users",
        "waiting",
        "wanted",
        "work",
    )
    kind = "map"

    def __init__(
        self,
        graph: Any,
        task: Any,
        number: int,
        args: tuple[MapInput, ...],
        kwargs: dict[str, MapInput],
        upstream: tuple[Ref, ...],
        order: tuple[Ref, ...],
        length: int | None,
        created_ns: int,
    ) -> None:
        super().__init__(graph, task, number, upstream, order, created_ns)
        self.args = args
        self.kwargs = kwargs
        self.length: int | None = None
        self.waiting = 0
        self.height = 0
        self.dependents: list[Any] | None = None
        self.element_dependents: dict[int, list[Any]] = {}
        self.aligned_dependents: list[tuple[MapNode, bool]] = []
        self.length_dependents: list[MapNode] = []
        self.missing: list[int] | None = None
        self.settled = bytearray()  # the run loop's own: which elements have ended, and how
        self.left = -1
        self.users = 0
        self.work: Any = None
        self.attempts: dict[int, int] = {}
        self.losses: dict[int, int] = {}
        self.keep = False
        self.wanted = False
        self.segments: list[Segment] = []
        self.index: list[Segment] | None = None
        self.newest: tuple[int, array[int]] | None = None
        self.failures: dict[int, Failure] = {}
        self.failure: Failure | None = None
        self.failed_code = int(StateCode.NOT_READY)
        self.notes: dict[int, Note] = {}
        self.run_names: dict[int, str] = {}
        self.codes = bytearray()
        self.announced_count = 0
        self.callbacks: list[tuple[int | None, Callable[[], None]]] | None = None
        self.length_callbacks: list[Callable[[], None]] = []
        self.noticed: set[int] | bool = False
        if length is not None:
            self.length = self.left = length

    name = _Traced.key

    def set_length(self, length: int) -> None:
        """Now it is known how many elements there are, and each gets its states.

        Of a map whose length is known when it is traced that is left to the run loop: it takes
        longer than all the rest of the call.
        """
        self.codes = bytearray(length)
        self.settled = bytearray(length)
        self.left = length
        self.length = length

    def ended(self, element: int | None = None) -> bool:
        """Whether it (or one element) has ended, as far as has been announced."""
        if element is None:
            return self.length is not None and self.announced_count >= self.length
        return bool(self.codes) and self.codes[element] in ENDED_CODES

    def state_code(self, element: int | None = None) -> int:
        """The announced state of an element; of the map as a whole without one."""
        if element is not None:
            return self.codes[element] if self.codes else _PENDING
        if self.failure is not None:
            return self.failed_code
        if not self.ended():
            return _PENDING
        bad = [code for code in BAD_CODES if code in self.codes]
        return bad[0] if bad else int(StateCode.COMPLETED)

    def segment_of(self, element: int) -> Segment | None:
        """The segment that has an element (the newest, if it ran more than once)."""
        if self.attempts:
            return self._newest_segment_of(element)
        index = self.index
        if index is None or len(index) != len(self.segments):
            index = self.index = sorted(self.segments, key=lambda segment: segment.start)
        low, high = 0, len(index)
        while low < high:
            middle = (low + high) // 2
            if index[middle].start <= element:
                low = middle + 1
            else:
                high = middle
        while low:
            low -= 1
            if element < index[low].stop:
                return index[low]
        return None

    def _newest_segment_of(self, element: int) -> Segment | None:
        """The same where segments overlap, because elements were tried again."""
        count = len(self.segments)
        if self.newest is None or self.newest[0] != count:
            numbers = array("i", (-1,)) * (self.length or 0)
            for number, segment in enumerate(self.segments[:count]):
                size = segment.stop - segment.start
                numbers[segment.start : segment.stop] = array("i", (number,)) * size
            self.newest = count, numbers
        number = self.newest[1][element]
        return None if number < 0 else self.segments[number]

    def place_of(self, element: int | None = None) -> Place | None:
        """Where the value of an element is."""
        assert element is not None
        segment = self.segment_of(element)
        if segment is None or segment.column is None:
            return None
        return segment.column, segment.offset + element - segment.start

    def drop_if_unneeded(self) -> None:
        """Let go of the values when nobody can ask for any of them."""
        if not (self.keep or self.wanted or self.users or self.task.has_hooks):
            for segment in self.segments:
                segment.column = None

    def failure_of(self, element: int | None = None) -> Failure | None:
        """How an element failed, or the map as a whole."""
        if element is None:
            return self.failure or (self.failures[min(self.failures)] if self.failures else None)
        return self.failures.get(element) or self.failure

    def element_name(self, element: int) -> str:
        """The name of one task run."""
        return self.run_names.get(element) or f"{self.key}[{element}]"


class CallNode(_Traced):
    """A call in place: a bare call of a task, or a subflow. It is only recorded, never planned."""

    __slots__ = ("kind",)

    def __init__(
        self,
        graph: Any,
        kind: str,
        task: Any,
        number: int,
        upstream: tuple[Ref, ...],
        order: tuple[Ref, ...],
        created_ns: int,
    ) -> None:
        super().__init__(graph, task, number, upstream, order, created_ns)
        self.kind = kind

    length = None

    name = _Traced.key


Node = TaskNode | MapNode | CallNode
