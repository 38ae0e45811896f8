"""What a node of the graph needs from other nodes, and from the arguments of its call.

A :class:`Ref` points at a value that is not there yet. Futures are handles to one; everything that
walks through arguments knows futures by the :class:`Reference` class alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Reference:
    """Stands for values which nodes of a graph will have: futures, and lists of them."""

    __slots__ = ()

    def refs(self) -> Ref | list[Any]:
        """What it stands for: one value, or a list of references and values."""
        raise NotImplementedError


class Ref(NamedTuple):
    """A value of a node: its only one, an element of a map, or (``element`` None) all of a map."""

    node: Any
    element: int | None = None
    allow_failure: bool = False


def refs_in(target: Any) -> Iterator[Ref]:
    """The references in what fills a hole: one, or a list of references and values."""
    if isinstance(target, Ref):
        yield target
    elif isinstance(target, (list, tuple)):
        for item in target:
            yield from refs_in(item)


class Fixed(NamedTuple):
    """A map argument that is the same for every element; ``refs`` fill its holes."""

    value: Any
    refs: tuple[Ref, ...] = ()


class Packed(NamedTuple):
    """A map argument that is the same for every element, pickled at the call."""

    column: Any


class Listed(NamedTuple):
    """A map argument with one value an element.

    ``refs``, if there are any, has for each element what fills its holes: references, or lists.
    """

    values: Sequence[Any]
    refs: Sequence[tuple[Any, ...]] = ()


class Chunked(NamedTuple):
    """A map argument with one value an element, pickled in chunks of ``size`` at the call."""

    chunks: Sequence[bytes]
    size: int
    length: int


class Aligned(NamedTuple):
    """A map argument whose ``i``-th value is that of the ``i``-th element of another map."""

    node: Any
    allow_failure: bool = False


class Gathered(NamedTuple):
    """A map argument with one reference an element."""

    refs: Sequence[Ref]


class Spread(NamedTuple):
    """A map argument that is the value of a future: an iterable whose length is not known yet."""

    ref: Ref


MapInput = Fixed | Packed | Listed | Chunked | Aligned | Gathered | Spread
