"""How many elements a map has, when what it goes over is there."""

from __future__ import annotations

from typing import Any

from dataflow.errors import MappingLengthMismatch, MappingMissingIterable
from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.model.inputs import Aligned, Chunked, Gathered, Listed, Spread
from dataflow.worker.outcomes import length_of


def find_length(node: MapNode) -> int:
    """The length that all inputs of a map agree on.

    Raises:
        MappingMissingIterable: a value cannot be mapped over.
        MappingLengthMismatch: they have different lengths.
    """
    lengths: dict[str, int] = {}
    for name, item in _named_inputs(node):
        try:
            length = _length_of_input(item)
        except TypeError as error:
            raise MappingMissingIterable(
                f"Task {node.task.name!r} was mapped over the value of a future "
                f"(argument {name!r}) that cannot be mapped over: {error}."
            ) from None
        if length is not None:
            lengths[name] = length
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise MappingLengthMismatch(
            f"Task {node.task.name!r} was mapped over iterables of different lengths ({shown})."
        )
    return next(iter(lengths.values()))


def _named_inputs(node: MapNode) -> list[tuple[str, Any]]:
    names = node.task.parameter_names
    positional = [
        (names[at] if at < len(names) else str(at), item) for at, item in enumerate(node.args)
    ]
    return [*positional, *node.kwargs.items()]


def _length_of_input(item: Any) -> int | None:
    """The length of one input of a map; None if it is the same for every element.

    Raises:
        TypeError: a value that cannot be mapped over.
    """
    if isinstance(item, Spread):
        node = item.ref.node
        if isinstance(node, TaskNode) and node.value_length != -1:
            if node.value_length is None:
                raise TypeError("it has no length")
            return node.value_length
        column, position = node.place_of(item.ref.element)
        return length_of(column.load(position))
    if isinstance(item, Aligned):
        length: int | None = item.node.length
        return length
    if isinstance(item, Gathered):
        return len(item.refs)
    if isinstance(item, Listed):
        return len(item.values)
    return item.length if isinstance(item, Chunked) else None
