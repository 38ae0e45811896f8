"""References in arguments: futures are taken out of them, and say what a call waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dataflow.clock import now_ns
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.large_values import LARGE_BYTES, is_large
from dataflow.graph.nodes import TaskNode
from dataflow.model.annotations import Annotation, allow_failure, quote
from dataflow.model.arguments import ATOMS, rebuild
from dataflow.model.batches import Hole
from dataflow.model.inputs import Packed, Ref, Reference
from dataflow.model.states import State
from dataflow.worker.failures import describe

UNCHANGING = ATOMS - {bytearray, memoryview}
_KINDS = (Reference, Annotation, State)
_NO_GRAPH = FlowGraph("", "")


def is_atom(value: Any) -> bool:
    """Whether a value goes along with its call as it is: it cannot change, and is not large."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) <= LARGE_BYTES
    return kind in UNCHANGING


def find_refs(value: Any) -> Iterator[Ref]:
    """Every reference anywhere inside a value (for ``wait_for=`` and for what a flow returns)."""
    finder = Finder(_NO_GRAPH)
    finder.strip_inside(value)
    return iter(finder.refs)


def plain_links(args: tuple[Any, ...]) -> tuple[Any, list[Ref], tuple[Any, ...]] | None:
    """What :class:`Finder` finds in arguments which are nothing but futures and atoms.

    Returns:
        The links, their references, and the arguments without them; None: there is more in them.
    """
    links: list[tuple[int, Ref]] = []
    refs: list[Ref] = []
    stripped: list[Any] = []
    for number, value in enumerate(args):
        if is_atom(value):
            stripped.append(value)
            continue
        target = value.refs() if isinstance(value, Reference) else None
        if type(target) is not Ref:
            return None
        links.append((number, target))
        refs.append(target)
        stripped.append(None)
    return tuple(links), refs, tuple(stripped)


class Finder:
    """Takes references out of the arguments of one call."""

    def __init__(self, graph: FlowGraph, allow: bool = False) -> None:
        self.graph = graph
        self.refs: list[Ref] = []
        self.held: list[Reference] = []
        self.only_atoms = True
        self._direct: list[tuple[int | str, Any]] = []
        self._holes: list[Any] = []
        self._allow = allow

    @property
    def holes(self) -> tuple[Any, ...]:
        """What belongs into the holes, in their order."""
        return tuple(self._holes)

    def strip(self, where: int | str, value: Any) -> Any:
        """The argument without its references, and without what is sent separately."""
        if is_atom(value):
            return value
        if isinstance(value, Reference):
            self._direct.append((where, self._take(value)))
            return None
        if isinstance(value, allow_failure) and isinstance(value.value, Reference):
            self._direct.append((where, self._take(value.value, allow=True)))
            return None
        if self.graph.copies_arguments and is_large(value):
            packed = self._packed(value)
            if packed is not None:
                self._direct.append((where, packed))
                return None
        self.only_atoms = False
        return self.strip_inside(value)

    def _packed(self, value: Any) -> Packed | None:
        try:
            return Packed(self.graph.large.column_of(value))
        except Exception:  # it cannot be pickled: whoever pickles all arguments says which it is
            return None

    def strip_inside(self, value: Any) -> Any:
        """A container with holes for its references, without marks."""
        return rebuild(value, _KINDS, self._replace)

    def links(self) -> Any:
        """Where the references belong, as :class:`TaskNode` keeps it."""
        links: list[Any] = list(self._direct)
        if self._holes:
            links.append((None, self.holes))
        return tuple(links) or None

    def _replace(self, value: Any) -> Any:
        if isinstance(value, Reference):
            self._holes.append(self._take(value))
            return Hole(len(self._holes) - 1)
        if isinstance(value, quote):
            return value.value
        if isinstance(value, State):
            return self._state(value)
        before = self._allow
        self._allow = before or isinstance(value, allow_failure)
        try:
            return rebuild(value.value, _KINDS, self._replace)
        finally:
            self._allow = before

    def _state(self, state: State[Any]) -> Any:
        """The value of a state; a failed one is a node that has failed."""
        if state.is_completed():
            return state.data
        if self._allow:
            return state.result(raise_on_failure=False)
        self._holes.append(_failed_ref(self.graph, state))
        self.refs.append(self._holes[-1])
        return Hole(len(self._holes) - 1)

    def _take(self, value: Reference, allow: bool = False) -> Any:
        """A reference (or the list of references) behind a future (or a list of futures)."""
        allow = allow or self._allow
        self.held.append(value)
        return self._allowing(value.refs(), allow)

    def _allowing(self, target: Any, allow: bool) -> Any:
        if isinstance(target, Ref):
            target = Ref(target.node, target.element, True) if allow else target
            self.refs.append(target)
            return target
        if isinstance(target, list):
            return [self._allowing(item, allow) for item in target]
        return target


def _failed_ref(graph: FlowGraph, state: State[Any]) -> Ref:
    """A reference to something that has ended as a state that is not Completed says."""
    node = TaskNode(graph, None, 0, None, None, (), (), now_ns())
    node.code = node.announced = int(state.code)
    node.failure = describe(state.result(raise_on_failure=False))
    return Ref(node)
