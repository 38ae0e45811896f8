"""The graph of one run: nodes in the order in which they were traced.

Nodes are appended by whichever thread runs the body; the run loop takes what is new in segments.
``dag`` is made when asked for: a run itself never needs networkx.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow.graph.large_values import LargeValues, sent_parameters
from dataflow.graph.nodes import CallNode, MapNode, Node, TaskNode
from dataflow.graph.phase_times import PhaseTimes
from dataflow.model.inputs import Ref
from dataflow.model.records import KeptValueRecord, TransactionValue
from dataflow.worker.columns import PackedColumn

if TYPE_CHECKING:
    import networkx


class FlowGraph:
    """What the body of a flow does, as a graph.

    Args:
        run_id: the run whose graph this is.
        flow_name: the flow.
        copies_arguments: whether arguments are pickled when a task is submitted, because they
            leave this process; otherwise tasks share them with the body.
    """

    def __init__(self, run_id: str, flow_name: str, copies_arguments: bool = True) -> None:
        self.run_id = run_id
        self.flow_name = flow_name
        self.copies_arguments = copies_arguments
        self.nodes: list[Node] = []
        self.fresh: list[Node] = []
        self.held: list[Any] = []  # what fresh nodes need and nobody else may hold any more
        self.is_looked_at = False  # the run loop will look at what is fresh, soon
        self.closed = False
        self.is_dry = False  # only traced, never run
        self.error: BaseException | None = None  # why nothing of it will go on
        self.ends_as: int | None = None  # how its nodes end, also new ones, once it is cancelled
        self.queue: Any = None  # what waits for this graph's runner; the run loop sets it
        self.info: Any = None  # what tasks may ask about the run
        self.results: Any = None  # what becomes of its results (``execution.run_results``)
        self.say: Callable[[int, str], None] = lambda level, message: None  # logs for the run
        self.tag_limits: frozenset[str] = frozenset()  # that there were when the run began
        self.begun: dict[tuple[int, int | None], int] = {}  # attempts that hooks were told of
        self.left_hooks: dict[int, list[Any]] = {}  # by an earlier process, for these nodes
        self.large = LargeValues()
        self.times = PhaseTimes()
        self.reused: dict[int, list[range]] = {}  # elements of nodes, in a run that goes on
        self.transaction_values: dict[tuple[int, int], dict[str, Any]] = {}  # set by task runs
        self._sent: tuple[Any, Any, PackedColumn | None] = (None, None, None)
        self.lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._ids: dict[tuple[str, str], int] | None = None
        self._next_id = 0

    def sent_info(self) -> tuple[Any, PackedColumn | None]:
        """What workers are told of the run; its parameters apart from that, if they are large."""
        if not self.copies_arguments:
            return self.info, None
        of, info, column = self._sent
        if of is not self.info:
            parameters, column = sent_parameters(self.info.parameters)
            info = replace(self.info, parameters=parameters)
            self._sent = self.info, info, column
        return info, column

    def take_records(self, records: list[Any]) -> list[Any]:
        """Those that calls have made for the store; what they set in transactions stays here."""
        if not any(type(record) is TransactionValue for record in records):
            return records
        kept = []
        for record in records:
            if type(record) is not TransactionValue:
                kept.append(record)
            elif record.run_id == self.run_id:
                values = self.transaction_values.setdefault((record.node, record.index or 0), {})
                values[record.name] = record.value
                if self.results is not None and self.results.persists:
                    kept.append(_kept_value(record))
        return kept

    def note_reused(self, node: int, elements: range) -> None:
        """The results that some elements of a node had before have been taken again."""
        self.reused.setdefault(node, []).append(elements)

    def expect_results(self, task: Any) -> None:
        """A task is about to be called: see that its results can be kept as it asks for.

        Raises:
            DefinitionError: an option cannot be used.
            MissingExtra: a library for its storage is not there.
            StorageError: its storage cannot be used.
        """
        if self.results is not None:
            self.results.of(task)

    def keeps(self, task: Any) -> bool:
        """Whether the results of a task are persisted."""
        results = self.results
        return results is not None and results.persists and results.of(task) is not None

    def looks_up(self, task: Any) -> bool:
        """Whether calls of a task wait until it is known what earlier results there are."""
        return self.results is not None and self.results.looks_up(task)

    def standing(self, node: Node, elements: range) -> set[int]:
        """Which elements of a node had completed before the run went on, and stay so."""
        earlier = None if self.results is None else self.results.earlier
        return set() if earlier is None else earlier.standing(node.key, elements)

    def next_number(self, task_name: str) -> int:
        """How many runs of a task of this name came before."""
        numbers = self._numbers
        number = numbers.get(task_name, 0)
        numbers[task_name] = number + 1
        return number

    def add(self, node: Node, held: Iterable[Any] = ()) -> None:
        """Append a node and give it its id.

        ``held`` lives until the node is taken: a map drops values that no list of futures can ask
        for, and the run loop does not know yet that this node needs them.
        """
        with self.lock:
            node.id = len(self.nodes) if self._ids is None else self._known_id(node)
            self.nodes.append(node)
            if not isinstance(node, CallNode):  # calls in place are never planned
                self.fresh.append(node)
                self.held.extend(held)

    def line_up(self, ids: dict[tuple[str, str], int]) -> None:
        """Give nodes the numbers that those of the same key and kind had before."""
        self._ids = dict(ids)
        self._next_id = max(ids.values(), default=-1) + 1

    def _known_id(self, node: Node) -> int:
        assert self._ids is not None
        known = self._ids.pop((node.key, node.kind), None)
        if known is None:
            known = self._next_id
            self._next_id += 1
        return known

    def node_of(self, number: int) -> Node:
        """The node with a number."""
        if self._ids is None:
            return self.nodes[number]
        return next(node for node in reversed(self.nodes) if node.id == number)

    def take_fresh(self) -> tuple[list[Node], list[Any]]:
        """The nodes that were added since the last call, and what is held for them."""
        with self.lock:
            taken = self.fresh, self.held
            self.fresh, self.held = [], []
            return taken

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __repr__(self) -> str:
        maps = sum(isinstance(node, MapNode) for node in self.nodes)
        return f"<FlowGraph of {self.flow_name!r}: {len(self)} nodes, {maps} of them maps>"

    def edges(self) -> Iterator[tuple[Node, Node, str]]:
        """Edges ``(from, to, kind)`` with kind ``"data"`` or ``"order"``, each once."""
        for node in list(self.nodes):
            data = upstream_of(node.upstream)
            for source in data:
                yield source, node, "data"
            for source in upstream_of(node.order):
                if source not in data:
                    yield source, node, "order"

    @property
    def dag(self) -> networkx.DiGraph[str]:
        """The graph in networkx: node keys, with ``kind``, ``task``, ``name`` and ``length``.

        Nodes of other runs that values came from are there too, with ``foreign=True``.
        """
        import networkx

        dag: networkx.DiGraph[str] = networkx.DiGraph(run_id=self.run_id, flow=self.flow_name)
        for node in list(self.nodes):
            dag.add_node(
                node.key,
                id=node.id,
                kind=node.kind,
                task=node.task.name,
                name=node.name,
                length=node.length,
            )
        for source, node, kind in self.edges():
            if source.graph is not self:
                dag.add_node(self.key_of(source), kind=source.kind, foreign=True)
            dag.add_edge(self.key_of(source), node.key, kind=kind)
        return dag

    def key_of(self, node: Node) -> str:
        """The key of a node, with its run in front if that is another."""
        if node.graph is self:
            return node.key
        return f"{node.graph.run_id[:12]}/{node.key}"


def upstream_of(refs: Iterable[Ref]) -> list[Node]:
    """The nodes behind references, each once, in order."""
    return list(dict.fromkeys(ref.node for ref in refs if ref.node.id >= 0))


def local_ids(graph: FlowGraph, refs: Iterable[Ref]) -> tuple[int, ...]:
    """The ids of the nodes of ``graph`` behind references."""
    ids = (ref.node.id for ref in refs if ref.node.graph is graph)
    return tuple(dict.fromkeys(number for number in ids if number >= 0))


__all__ = ["CallNode", "FlowGraph", "MapNode", "Node", "TaskNode", "local_ids", "upstream_of"]


def _kept_value(record: TransactionValue) -> KeptValueRecord:
    import cloudpickle

    try:
        data = cloudpickle.dumps(record.value, protocol=5)
    except Exception:  # whatever a user's own reduction may raise
        data = None
    return KeptValueRecord(record.run_id, record.node, record.index or 0, record.name, data)
