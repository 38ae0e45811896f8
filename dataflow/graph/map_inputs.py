"""What a map is given: each argument is mapped over, or the same for all elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dataflow.errors import MappingLengthMismatch, MappingMissingIterable
from dataflow.graph.argument_copies import check_argument, copied_elements, pickled_elements
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import MapNode
from dataflow.graph.references import UNCHANGING, Finder, is_atom
from dataflow.model.annotations import allow_failure, quote, unmapped
from dataflow.model.inputs import (
    Aligned,
    Chunked,
    Fixed,
    Gathered,
    Listed,
    MapInput,
    Packed,
    Ref,
    Reference,
    Spread,
)


class MapInputs:
    """Decides for each argument of a map whether, and how, it is mapped over."""

    def __init__(self, graph: FlowGraph, task: Any) -> None:
        self.graph = graph
        self.task = task
        self.refs: list[Ref] = []
        self.lengths: dict[str, int] = {}
        self.spread: list[str] = []

    def length(self) -> int | None:
        """The length that all mapped arguments agree on; None while one is not known."""
        if len(self.lengths) == 1 and not self.spread:
            return next(iter(self.lengths.values()))
        if not self.lengths and not self.spread:
            raise MappingMissingIterable(
                f"Task {self.task.name!r} was mapped, but no argument is an iterable to map over.",
                hint="Pass a list, range, array or future of one that is not marked unmapped(); "
                "text, dicts, DataFrames, models and dataclasses are given whole to each element.",
            )
        if len(set(self.lengths.values())) > 1:
            shown = ", ".join(f"{name}: {length}" for name, length in self.lengths.items())
            raise MappingLengthMismatch(
                f"Task {self.task.name!r} was mapped over iterables of different lengths "
                f"({shown}).",
                hint="Give iterables of one length; mark what every element gets with unmapped().",
            )
        return None if self.spread else next(iter(self.lengths.values()))

    def input(self, name: str, value: Any) -> MapInput:
        """Where the elements' values of one argument come from."""
        if type(value) is range or type(value) is list:  # most are
            return self._mapped(name, value[:], False)
        if isinstance(value, (unmapped, quote)):
            return self._fixed(name, value)
        allow = isinstance(value, allow_failure)
        if allow:
            value = value.value
            if isinstance(value, unmapped):
                return self._fixed(name, allow_failure(value.value))
        if isinstance(value, Reference):
            return self._referenced(name, value, allow)
        values = _listed(value)
        if values is None:
            return self._fixed(name, allow_failure(value) if allow else value)
        return self._mapped(name, values, allow)

    def _mapped(self, name: str, values: Sequence[Any], allow: bool) -> MapInput:
        self.lengths[name] = len(values)
        return self._column(name, values, allow)

    def _referenced(self, name: str, value: Reference, allow: bool) -> MapInput:
        target = value.refs()
        if isinstance(target, list):
            self.lengths[name] = len(target)
            return self._gathered(name, list(value), allow)  # type: ignore[call-overload]
        if target.element is None and isinstance(target.node, MapNode):
            self.refs.append(target)
            if target.node.length is None:
                self.spread.append(name)
            else:
                self.lengths[name] = target.node.length
            return Aligned(target.node, allow)
        self.refs.append(target)
        self.spread.append(name)
        return Spread(Ref(target.node, target.element, allow))

    def _gathered(self, name: str, values: Sequence[Reference], allow: bool) -> MapInput:
        items = [value.refs() for value in values]
        if not all(isinstance(item, Ref) for item in items):
            return self._holed(name, values, allow)
        refs: list[Any] = items
        if allow:
            refs = [Ref(item.node, item.element, True) for item in refs]
        whole = _whole_map(refs)
        if whole is not None:
            self.refs.append(Ref(whole))
            return Aligned(whole, allow)
        self.refs.extend(refs)
        return Gathered(refs)

    def _holed(self, name: str, values: Sequence[Any], allow: bool) -> MapInput:
        """Elements with references inside them: each waits for its own only."""
        stripped, targets = [], []
        for value in values:
            finder = Finder(self.graph, allow)
            stripped.append(finder.strip_inside(value))
            targets.append(finder.holes)
            self.refs.extend(finder.refs)
        if self.graph.copies_arguments:
            stripped = copied_elements(self.task, name, stripped)
        return Listed(stripped, targets)

    def _column(self, name: str, values: Sequence[Any], allow: bool) -> MapInput:
        if isinstance(values, range):
            return Listed(values)
        kinds = set(map(type, values))
        if kinds <= UNCHANGING:
            return Listed(values)
        if all(issubclass(kind, Reference) for kind in kinds):
            return self._gathered(name, values, allow)
        if len(values) > 1 and all(value is values[0] for value in values):
            return self._fixed(name, allow_failure(values[0]) if allow else values[0])
        finder = Finder(self.graph, allow)
        stripped = finder.strip_inside(values)
        if finder.holes:
            return self._holed(name, values, allow)
        return self._copied(name, stripped)

    def _copied(self, name: str, values: Sequence[Any]) -> MapInput:
        if not self.graph.copies_arguments or not len(values):
            return Listed(values)
        return Chunked(*pickled_elements(self.task, name, values))

    def _fixed(self, name: str, value: Any) -> MapInput:
        if is_atom(value):
            return Fixed(value)
        finder = Finder(self.graph)
        stripped = finder.strip_inside(value)
        self.refs.extend(finder.refs)
        if not self.graph.copies_arguments or is_atom(stripped):
            return Fixed(stripped, finder.holes)
        try:
            column = self.graph.large.column_of(stripped, shared=True)
        except Exception:  # whatever the value's own code raises when it is pickled
            check_argument(self.task, name, stripped)
            raise
        if finder.holes:
            return Fixed(column.load(0), finder.holes)
        return Packed(column)


def _whole_map(refs: Sequence[Ref]) -> MapNode | None:
    """The map whose elements these are, all of them and in order."""
    if not refs or not isinstance(refs[0].node, MapNode):
        return None
    node = refs[0].node
    if node.length != len(refs):
        return None
    whole = all(ref.node is node and ref.element == at for at, ref in enumerate(refs))
    return node if whole else None


def _listed(value: Any) -> Sequence[Any] | None:
    """The elements of what can be mapped over (a copy), or None."""
    kind = type(value)
    if kind in (list, tuple):
        return list(value)
    if kind is range:
        return range(value.start, value.stop, value.step)
    if isinstance(value, (str, bytes, bytearray, dict, type)) or _is_record(kind):
        return None
    if hasattr(kind, "iloc"):
        return list(value) if not hasattr(kind, "columns") else None
    if isinstance(value, Iterator) or hasattr(kind, "__iter__"):
        if hasattr(value, "shape") and not value.shape:
            return None
        return list(value)
    return None


def _is_record(kind: type) -> bool:
    return any(
        hasattr(kind, mark)
        for mark in ("__pydantic_fields__", "__dataclass_fields__", "__attrs_attrs__")
    )
