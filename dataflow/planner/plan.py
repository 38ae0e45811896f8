"""What the planner would make of a graph: shown by ``flow.plan()`` before anything runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import CallNode, MapNode, Node, TaskNode
from dataflow.planner.batch_sizes import RunnerCosts, batch_size
from dataflow.planner.cost_book import CostBook
from dataflow.planner.fusion import count_uses, fit, fuse_map


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Nodes that are carried out together.

    Attributes:
        keys: the nodes, in order; more than one: fused.
        kind: ``"map"``, ``"task"``, ``"call"`` or ``"flow"``.
        elements: how many elements each has; None: known at run time.
        level: how many stages come before it, at least.
        first_batch: how many elements its first batch takes.
        why: the reason for what was decided.
    """

    keys: tuple[str, ...]
    kind: str
    elements: int | None
    level: int
    first_batch: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in the order in which they can begin, and the longest path through them."""

    flow_name: str
    slots: int
    stages: tuple[PlannedStage, ...]
    critical_path: tuple[str, ...]
    nodes: int

    @property
    def elements(self) -> int:
        """All elements whose number is known."""
        return sum((stage.elements or 0) * len(stage.keys) for stage in self.stages)

    def __str__(self) -> str:
        head = (
            f"Plan of {self.flow_name!r}: {self.nodes:,} nodes in {len(self.stages):,} stages, "
            f"{self.elements:,} task runs, {self.slots} slots"
        )
        rows = [head]
        for stage in self.stages[:50]:
            count = "?" if stage.elements is None else f"{stage.elements:,}"
            rows.append(f"  {stage.level:>3}  {_named(stage.keys)}  × {count}  ({stage.why})")
        if len(self.stages) > 50:
            rows.append(f"  ... and {len(self.stages) - 50:,} more")
        rows.append(f"  longest path: {_named(self.critical_path, ' → ')}")
        return "\n".join(rows)


def _named(keys: tuple[str, ...], joint: str = " + ") -> str:
    if len(keys) <= 4:
        return joint.join(keys)
    return joint.join((*keys[:2], f"... {len(keys) - 3:,} more ...", keys[-1]))


def plan_graph(
    graph: FlowGraph, slots: int, costs: RunnerCosts, book: CostBook | None = None
) -> Plan:
    """Plan a traced graph as a run would, without running it.

    Args:
        graph: the graph; its nodes must not be part of a run.
        slots: how many batches run at once.
        costs: the runner's costs.
        book: what is known of the tasks' durations.
    """
    groups = _group(graph, slots)
    levels, path = _levels(graph, groups)
    stages = [
        _planned(group, levels[id(group[0])], slots, costs, book or CostBook()) for group in groups
    ]
    stages.sort(key=lambda stage: stage.level)
    return Plan(graph.flow_name, slots, tuple(stages), tuple(path), len(graph))


def _group(graph: FlowGraph, slots: int) -> list[list[Node]]:
    nodes = list(graph)
    uses = count_uses(nodes)
    groups: list[list[Node]] = []
    chains: dict[int, list[Node]] = {}  # by id() of their last call
    for node in nodes:
        group: list[Node] = [node]
        if isinstance(node, TaskNode):
            chain = chains.pop(_only_input(node, uses), None)
            chains[id(node)] = group = chain or group
            if chain is not None:
                chain.append(node)
                continue
        elif isinstance(node, MapNode):
            node.work = group
            stages = fuse_map(node, uses, slots)
            if stages is not None:
                node.work = stages
                continue
        groups.append(group)
    return groups


def _only_input(node: TaskNode, uses: Counter[int]) -> int:
    """The call (by ``id()``) that a call follows from in a chain; 0: there is none."""
    needed = {id(ref.node): ref.node for ref in (*node.upstream, *node.order)}
    if len(needed) != 1:
        return 0
    ((key, source),) = needed.items()
    fits = isinstance(source, TaskNode) and uses[key] == 1 and fit(source.task, node.task)
    return key if fits else 0


def _levels(graph: FlowGraph, groups: list[list[Node]]) -> tuple[dict[int, int], list[str]]:
    """The level of each group, by its first node, and the keys on the longest path."""
    group_of = {id(node): group for group in groups for node in group}
    level: dict[int, int] = {}
    before: dict[int, list[Node]] = {}
    for group in groups:  # a group's inputs were traced before it, so their levels are known
        best: list[Node] | None = None
        for node in group:
            for ref in (*node.upstream, *node.order):
                source = group_of.get(id(ref.node))
                if source is None or source is group:
                    continue
                if best is None or level.get(id(source[0]), 0) > level.get(id(best[0]), 0):
                    best = source
        level[id(group[0])] = level.get(id(best[0]), 0) + 1 if best else 0
        if best:
            before[id(group[0])] = best
    path: list[str] = []
    group = max(groups, key=lambda g: level[id(g[0])], default=[])
    while group:
        path = [node.key for node in group] + path
        group = before.get(id(group[0]), [])
    return level, path


def _planned(
    group: list[Node], level: int, slots: int, costs: RunnerCosts, book: CostBook
) -> PlannedStage:
    head = group[0]
    keys = tuple(node.key for node in group)
    if isinstance(head, CallNode):
        why = "called in place" if head.kind == "call" else "a run of its own"
        return PlannedStage(keys, head.kind, 1, level, None, why)
    elements = head.length if isinstance(head, MapNode) else 1
    mean = sum(book.seconds(node.task.name) or 0.0 for node in group) or None
    first = batch_size(elements, slots, mean, costs) if elements else None
    reasons = []
    if len(group) > 1:
        reasons.append(f"{len(group)} fused")
    if elements is None:
        reasons.append("length known at run time")
    elif isinstance(head, MapNode):
        reasons.append(f"first batch {first:,}" if first else "empty")
    return PlannedStage(keys, head.kind, elements, level, first, ", ".join(reasons) or "on its own")
