"""Calls become nodes: arguments are bound, futures in them become edges, the rest is copied.

A task sees what it was given *when it was submitted*. Where arguments leave the process they are
therefore pickled at the call (unless they are plain numbers and text, which cannot change), which
is work that sending them would cost anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dataflow.clock import now_ns
from dataflow.errors import (
    MappingLengthMismatch,
    MappingMissingIterable,
    RunFinishedError,
)
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.large_values import LARGE_BYTES, is_large
from dataflow.graph.nodes import CallNode, MapNode, TaskNode
from dataflow.model.annotations import Annotation, allow_failure, quote, unmapped
from dataflow.model.arguments import ATOMS, rebuild
from dataflow.model.batches import Hole
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
from dataflow.model.states import State
from dataflow.worker import pickling
from dataflow.worker.failures import describe

_NO_KWARGS: dict[str, Any] = {}
_CHUNK_BYTES = 64_000
_KINDS = (Reference, Annotation, State)
_UNCHANGING = ATOMS - {bytearray, memoryview}


_NO_GRAPH = FlowGraph("", "")


def trace_submit(
    graph: FlowGraph,
    task: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    origins: tuple[Ref, ...] = (),
) -> TaskNode:
    """Add the node of ``task.submit(*args, **kwargs)``.

    ``origins`` are the calls in place whose values are among the arguments.

    Raises:
        ParameterBindError: the arguments do not fit.
        TransferError: an argument cannot be pickled, though it has to be.
        RunFinishedError: the run has ended.
    """
    check_open(graph, task)
    task.check_arguments(args, kwargs)
    if not kwargs or all(map(_is_atom, kwargs.values())):
        for value in args:
            if not _is_atom(value):
                break
        else:
            return _add(graph, task, (args, kwargs), None, (), wait_for, ())
        plain = _plain_links(args)
        if plain is not None:
            links, refs, stripped = plain
            return _add(graph, task, (stripped, kwargs), links, (*refs, *origins), wait_for, args)
    found = _Finder(graph)
    args = tuple(found.strip(number, value) for number, value in enumerate(args))
    kwargs = {name: found.strip(name, value) for name, value in kwargs.items()}
    links, upstream = found.links(), (*found.refs, *origins)
    arguments: Any = (args, kwargs)
    if graph.copies_arguments and not found.only_atoms:
        arguments = _snapshot(task, args, kwargs)
    return _add(graph, task, arguments, links, upstream, wait_for, found.held)


def _plain_links(args: tuple[Any, ...]) -> tuple[Any, list[Ref], tuple[Any, ...]] | None:
    """What :class:`_Finder` finds in arguments which are nothing but futures and atoms.

    Returns:
        The links, their references, and the arguments without them; None: there is more in them.
    """
    links: list[tuple[int, Ref]] = []
    refs: list[Ref] = []
    stripped: list[Any] = []
    for number, value in enumerate(args):
        if _is_atom(value):
            stripped.append(value)
            continue
        target = value.refs() if isinstance(value, Reference) else None
        if type(target) is not Ref:
            return None
        links.append((number, target))
        refs.append(target)
        stripped.append(None)
    return tuple(links), refs, tuple(stripped)


def check_open(graph: FlowGraph, task: Any) -> None:
    """Refuse to add to a graph whose run has ended.

    Raises:
        RunFinishedError: with the names of the run's flow and the task.
    """
    if graph.closed:
        raise RunFinishedError(
            f"Task {task.name!r} was submitted to a run of {graph.flow_name!r} that has ended.",
            hint="Submit before the body of the flow returns (a thread may have outlived it).",
        )


def _add(
    graph: FlowGraph,
    task: Any,
    arguments: Any,
    links: Any,
    upstream: tuple[Ref, ...],
    wait_for: Any,
    held: Sequence[Any],
) -> TaskNode:
    order = () if wait_for is None else tuple(find_refs(wait_for))
    node = TaskNode(
        graph, task, graph.next_number(task.name), arguments, links, upstream, order, now_ns()
    )
    graph.add(node, held)
    return node


class _Finder:
    """Takes references out of the arguments of one call."""

    def __init__(self, graph: FlowGraph | None = None, allow: bool = False) -> None:
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
        if _is_atom(value):
            return value
        if isinstance(value, Reference):
            self._direct.append((where, self._take(value)))
            return None
        if isinstance(value, allow_failure) and isinstance(value.value, Reference):
            self._direct.append((where, self._take(value.value, allow=True)))
            return None
        if self.graph is not None and self.graph.copies_arguments and is_large(value):
            packed = self._packed(value)
            if packed is not None:
                self._direct.append((where, packed))
                return None
        self.only_atoms = False
        return self.strip_inside(value)

    def _packed(self, value: Any) -> Packed | None:
        assert self.graph is not None
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
        assert self.graph is not None
        self._holes.append(failed_ref(self.graph, state))
        self.refs.append(self._holes[-1])
        return Hole(len(self._holes) - 1)

    def _take(self, value: Reference, allow: bool = False) -> Any:
        """A reference (or the list of references) behind a future (or a list of futures)."""
        allow = allow or self._allow
        self.held.append(value)
        return self.allowing(value.refs(), allow)

    def allowing(self, target: Any, allow: bool) -> Any:
        if isinstance(target, Ref):
            target = Ref(target.node, target.element, True) if allow else target
            self.refs.append(target)
            return target
        if isinstance(target, list):
            return [self.allowing(item, allow) for item in target]
        return target


def failed_ref(graph: FlowGraph, state: State[Any]) -> Ref:
    """A reference to something that has ended as a state that is not Completed says."""
    node = TaskNode(graph, None, 0, None, None, (), (), now_ns())
    node.code = node.announced = int(state.code)
    node.failure = describe(state.result(raise_on_failure=False))
    return Ref(node)


def _snapshot(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return pickling.dumps((args, kwargs))
    except Exception as error:
        names = task.argument_names(args, kwargs)
        for name, value in names:
            _check_argument(task, name, value)
        raise pickling.transfer_error(
            (args, kwargs), f"An argument of task {task.name!r}", error, _ARGUMENT_HINT
        ) from error


_ARGUMENT_HINT = (
    "Make it inside the task, or use task_runner='threads', where arguments stay in this process."
)


def _check_argument(task: Any, name: str, value: Any) -> None:
    try:
        pickling.dumps(value)
    except Exception as error:
        what = f"Argument {name!r} of task {task.name!r}"
        raise pickling.transfer_error(value, what, error, _ARGUMENT_HINT) from error


def find_refs(value: Any) -> Iterator[Ref]:
    """Every reference anywhere inside a value (for ``wait_for=`` and for what a flow returns)."""
    finder = _Finder(_NO_GRAPH)
    finder.strip_inside(value)
    return iter(finder.refs)


def trace_call(
    graph: FlowGraph, kind: str, task: Any, upstream: Iterable[Ref], order: Iterable[Ref]
) -> CallNode:
    """Add the node of a call in place (``kind`` "call") or of a subflow (``"flow"``)."""
    check_open(graph, task)
    number = graph.next_number(task.name)
    node = CallNode(graph, kind, task, number, tuple(upstream), tuple(order), now_ns())
    graph.add(node)
    return node


def trace_map(
    graph: FlowGraph,
    task: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any,
    origins: tuple[Ref, ...] = (),
) -> MapNode:
    """Add the node of ``task.map(*args, **kwargs)``.

    Raises:
        ParameterBindError: the arguments do not fit.
        MappingMissingIterable: there is nothing to map over.
        MappingLengthMismatch: the iterables have different lengths.
        TransferError: an argument cannot be pickled, though it has to be.
    """
    check_open(graph, task)
    task.check_arguments(args, kwargs)
    mapper = _Mapper(graph, task)
    mapper.refs.extend(origins)
    inputs = tuple(
        mapper.input(name, value) for name, value in task.argument_names(args, kwargs)[: len(args)]
    )
    named = {name: mapper.input(name, value) for name, value in kwargs.items()}
    length = mapper.length()
    order = () if wait_for is None else tuple(find_refs(wait_for))
    node = MapNode(
        graph,
        task,
        graph.next_number(task.name),
        inputs,
        named,
        tuple(mapper.refs),
        order,
        length,
        now_ns(),
    )
    graph.add(node, (args, kwargs))
    return node


class _Mapper:
    """Decides for each argument of a map whether, and how, it is mapped over."""

    def __init__(self, graph: FlowGraph, task: Any) -> None:
        self.graph = graph
        self.task = task
        self.refs: list[Ref] = []
        self.lengths: dict[str, int] = {}
        self.spread: list[str] = []

    def length(self) -> int | None:
        """The length that all mapped arguments agree on; None while one is not known."""
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
            finder = _Finder(self.graph, allow)
            stripped.append(finder.strip_inside(value))
            targets.append(finder.holes)
            self.refs.extend(finder.refs)
        if self.graph.copies_arguments:
            stripped = self._snapshot(name, stripped)
        return Listed(stripped, targets)

    def _snapshot(self, name: str, values: list[Any]) -> list[Any]:
        try:
            found: list[Any] = pickling.loads(pickling.dumps(values))
        except Exception:  # whatever the values' own code raises when they are pickled
            for index, value in enumerate(values):
                _check_argument(self.task, f"{name}[{index}]", value)
            raise
        return found

    def _column(self, name: str, values: Sequence[Any], allow: bool) -> MapInput:
        if isinstance(values, range):
            return Listed(values)
        kinds = set(map(type, values))
        if kinds <= _UNCHANGING:
            return Listed(values)
        if all(issubclass(kind, Reference) for kind in kinds):
            return self._gathered(name, values, allow)
        if len(values) > 1 and all(value is values[0] for value in values):
            return self._fixed(name, allow_failure(values[0]) if allow else values[0])
        finder = _Finder(self.graph, allow)
        stripped = finder.strip_inside(values)
        if finder.holes:
            return self._holed(name, values, allow)
        return self._copied(name, stripped)

    def _copied(self, name: str, values: Sequence[Any]) -> MapInput:
        if not self.graph.copies_arguments or not len(values):
            return Listed(values)
        try:
            first = len(pickling.dumps(values[0]))
            size = max(1, min(256, _CHUNK_BYTES // max(first, 1)))
            chunks = [
                pickling.dumps(list(values[start : start + size]))
                for start in range(0, len(values), size)
            ]
        except Exception:  # as above
            for index, value in enumerate(values):
                _check_argument(self.task, f"{name}[{index}]", value)
            raise
        return Chunked(chunks, size, len(values))

    def _fixed(self, name: str, value: Any) -> MapInput:
        if _is_atom(value):
            return Fixed(value)
        finder = _Finder(self.graph)
        stripped = finder.strip_inside(value)
        self.refs.extend(finder.refs)
        if not self.graph.copies_arguments or _is_atom(stripped):
            return Fixed(stripped, finder.holes)
        try:
            column = self.graph.large.column_of(stripped, shared=True)
        except Exception:  # as above
            _check_argument(self.task, name, stripped)
            raise
        if finder.holes:
            return Fixed(column.load(0), finder.holes)
        return Packed(column)


def _is_atom(value: Any) -> bool:
    """Whether a value goes along with its call as it is: it cannot change, and is not large."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) <= LARGE_BYTES
    return kind in _UNCHANGING


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
