"""Batches are put together: for every argument, where the worker will find its value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from dataflow.graph.nodes import GOOD_CODES, MapNode, TaskNode
from dataflow.model.batches import (
    WAITS,
    CallBody,
    Column,
    Const,
    Each,
    EachNested,
    EachPickled,
    Failed,
    Given,
    GivenEach,
    GivenList,
    GivenSpan,
    Hole,
    Items,
    Joined,
    MapBody,
    Nested,
    Slot,
    Source,
    Stage,
)
from dataflow.model.inputs import (
    Aligned,
    Chunked,
    Fixed,
    Gathered,
    Listed,
    MapInput,
    Packed,
    Ref,
    Spread,
)
from dataflow.model.states import StateCode

_NO_KWARGS: dict[str, Any] = {}
_FOR_ALL = (Const, Failed, Given, GivenList, Items, Nested, Slot)  # whichever elements these are


def runs_of(elements: Sequence[int]) -> list[range]:
    """Elements in ascending order, as ranges of those in a row."""
    if isinstance(elements, range):
        return [elements]
    cuts = [at for at in range(1, len(elements)) if elements[at] != elements[at - 1] + 1]
    return [
        range(elements[start], elements[stop - 1] + 1)
        for start, stop in pairwise([0, *cuts, len(elements)])
    ]


class BodyBuilder:
    """Puts one batch together, and collects the tasks and input columns that it refers to."""

    def __init__(self) -> None:
        self.tasks: list[Any] = []
        self.inputs: list[Column] = []
        self._task_numbers: dict[int, int] = {}
        self._input_numbers: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self._found: dict[int, Any] = {}  # the links of single references, by their id()

    def calls(self, nodes: Sequence[TaskNode], may_drop: bool = False) -> CallBody:
        """Some calls, each after those that it needs.

        Args:
            nodes: the calls.
            may_drop: whether values that nobody else needs end with the batch.
        """
        self._slots = {id(node): position for position, node in enumerate(nodes)}
        return CallBody(
            tasks=[self._task(node.task) for node in nodes],
            nodes=[node.id for node in nodes],
            numbers=[node.number for node in nodes],
            arguments=[node.arguments for node in nodes],
            links=[
                (node.links or node.order) and self._call_links(node.links or (), node.order)
                for node in nodes
            ],
            last_uses=self._last_uses(nodes) if may_drop else {},
        )

    def _last_uses(self, nodes: Sequence[TaskNode]) -> dict[int, int]:
        uses: Counter[int] = Counter()
        last: dict[int, int] = {}
        for at, node in enumerate(nodes):
            for ref in node.upstream:
                source = self._slots.get(id(ref.node))
                if source is not None:
                    uses[source] += 1
                    last[source] = at
        return {
            at: last.get(at, at)
            for at, node in enumerate(nodes)
            if not node.wanted
            and node.users == uses[at]
            and not node.task.has_hooks
            and not node.graph.keeps(node.task)
        }

    def _call_links(self, links: Any, order: Iterable[Ref]) -> Any:
        known = self._found
        found = tuple(
            (where, known.get(id(target)) or self._link(where, target)) for where, target in links
        )
        waits = tuple(
            Slot(self._slots[id(ref.node)], ref.allow_failure)
            for ref in order
            if id(ref.node) in self._slots
        )
        return (*found, (WAITS, waits)) if waits else found

    def _link(self, where: Any, target: Any) -> Any:
        if where is None:
            return tuple(map(self._source, target))
        link = _plain(self._source(target))
        if type(target) is Ref:  # calls that need the same value share it
            self._found[id(target)] = link
        return link

    def elements(
        self, stages: Sequence[MapNode], kept: Sequence[bool], elements: Sequence[int]
    ) -> MapBody:
        """Some elements of fused maps, in ascending order."""
        runs = runs_of(elements)
        self._slots = {id(node): number for number, node in enumerate(stages)}
        made = [
            Stage(
                self._task(node.task),
                node.id,
                node.number,
                tuple(self._source_of_runs(item, runs) for item in node.args),
                {name: self._source_of_runs(item, runs) for name, item in node.kwargs.items()},
                keep,
            )
            for node, keep in zip(stages, kept, strict=True)
        ]
        return MapBody(elements, tuple(made))

    def _source_of_runs(self, item: MapInput, runs: Sequence[range]) -> Source:
        source = self._map_source(item, runs[0].start, runs[0].stop)
        if len(runs) == 1 or isinstance(source, _FOR_ALL):
            return source
        rest = [(self._map_source(item, run.start, run.stop), len(run)) for run in runs[1:]]
        return Joined([(source, len(runs[0])), *rest])

    def _task(self, task: Any) -> int:
        number = self._task_numbers.get(id(task))
        if number is None:
            number = self._task_numbers[id(task)] = len(self.tasks)
            self.tasks.append(task)
        return number

    def column(self, column: Column) -> int:
        """The number of an input column."""
        number = self._input_numbers.get(id(column))
        if number is None:
            number = self._input_numbers[id(column)] = len(self.inputs)
            self.inputs.append(column)
        return number

    def _source(self, target: Any) -> Source:
        """The source of a reference, or of a list of references and plain values."""
        if isinstance(target, Ref):
            return self._ref_source(target)
        if isinstance(target, Packed):
            return Given(self.column(target.column), 0)
        if not isinstance(target, list):
            return Const(target)
        return self._list_source([self._source(item) for item in target])

    def _list_source(self, sources: list[Source]) -> Source:
        if all(isinstance(source, Given) for source in sources):
            return GivenList(_joined((s.column, s.position) for s in sources))  # type: ignore[union-attr]
        return Nested([Hole(number) for number in range(len(sources))], tuple(sources))

    def _ref_source(self, ref: Ref) -> Source:
        node = ref.node
        slot = self._slots.get(id(node))
        if slot is not None and ref.element is None:
            return Slot(slot, ref.allow_failure)
        if isinstance(node, MapNode) and ref.element is None:
            return self._whole_map(node)
        return self._value(node, ref.element)

    def _value(self, node: Any, element: int | None) -> Source:
        code = node.code if isinstance(node, TaskNode) else node.settled[element]
        if code not in GOOD_CODES:  # allowed to fail: the task gets the exception
            name = node.name if isinstance(node, TaskNode) else node.element_name(element)
            return Failed(node.failure_of(element), name if code == StateCode.NOT_READY else None)
        column, position = node.place_of(element)
        return Given(self.column(column), position)

    def _whole_map(self, node: MapNode) -> Source:
        assert node.length is not None
        if all(code in GOOD_CODES for code in set(node.settled)):
            return GivenList(self._span(node, 0, node.length))
        return self._list_source([self._value(node, element) for element in range(node.length)])

    def _span(self, node: MapNode, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Ranges of columns that hold the values of elements ``start`` to ``stop``, all good."""
        ranges = []
        while start < stop:
            segment = node.segment_of(start)
            assert segment is not None and segment.column is not None
            end = start + 1 if node.attempts else min(segment.stop, stop)
            at = segment.offset + start - segment.start
            ranges.append((self.column(segment.column), at, at + end - start))
            start = end
        return _joined_ranges(ranges)

    def _map_source(self, item: MapInput, start: int, stop: int) -> Source:
        if isinstance(item, Fixed):
            return self._fixed(item)
        if isinstance(item, Packed):
            return Given(self.column(item.column), 0)
        if isinstance(item, Listed):
            values = item.values[start:stop]
            if item.refs:
                targets = item.refs[start:stop]
                return EachNested(values, [tuple(map(self._source, each)) for each in targets])
            return Each(values)
        if isinstance(item, Chunked):
            first = start // item.size
            chunks = item.chunks[first : -(-stop // item.size)]
            return EachPickled(chunks, start - first * item.size)
        if isinstance(item, Aligned):
            return self._aligned(item, start, stop)
        if isinstance(item, Gathered):
            return GivenEach([self._source(ref) for ref in item.refs[start:stop]])
        return self._spread(item)

    def _spread(self, item: Spread) -> Source:
        source = self._source(item.ref)
        if isinstance(source, Given):
            return Items(source.column, source.position)
        raise TypeError("a failed future cannot be mapped over")

    def _fixed(self, item: Fixed) -> Source:
        if not item.refs:
            return Const(item.value)
        if type(item.value) is Hole:
            return self._source(item.refs[0])
        return Nested(item.value, tuple(map(self._source, item.refs)))

    def _aligned(self, item: Aligned, start: int, stop: int) -> Source:
        slot = self._slots.get(id(item.node))
        if slot is not None:
            return Slot(slot, item.allow_failure)
        node: MapNode = item.node
        if all(code in GOOD_CODES for code in set(node.settled[start:stop])):
            return GivenSpan(self._span(node, start, stop))
        return GivenEach([self._value(node, element) for element in range(start, stop)])


def _plain(source: Source) -> Any:
    """A source as the links of calls have it."""
    if type(source) is Given:
        return tuple(source)
    if type(source) is Slot and not source.allow_failure:
        return source.number
    return source


def _joined(places: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    return _joined_ranges((column, at, at + 1) for column, at in places)


def _joined_ranges(pieces: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Neighbouring ranges of the same column made one."""
    ranges: list[tuple[int, int, int]] = []
    for column, start, stop in pieces:
        if ranges and ranges[-1][0] == column and ranges[-1][2] == start:
            ranges[-1] = (column, ranges[-1][1], stop)
        else:
            ranges.append((column, start, stop))
    return ranges
