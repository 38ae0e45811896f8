"""The plan of a traced graph: a rehearsal of its run, and the reasons for what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from dataflow.execution.rehearsal import ASSUMED_SECONDS, Rehearsal, RehearsedBatch, rehearse
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import MapNode, Node, TaskNode
from dataflow.planner.batch_sizes import RunnerCosts
from dataflow.planner.fusion import (
    count_uses,
    fuse_map,
    obstacle_to_fusing,
    obstacle_to_sharing,
)
from dataflow.planner.plan import Plan, PlannedStage, seconds_text

_ENDS = 3  # nodes of the longest path that are shown at its beginning and end


def plan_graph(
    graph: FlowGraph, runner: str, slots: int, costs: RunnerCosts, seconds: dict[str, float]
) -> Plan:
    """Plan a traced graph as a run would, without running it; it cannot be used afterwards.

    Args:
        graph: the graph; its nodes must not be part of a run.
        runner: the name of the runner.
        slots: how many batches run at once.
        costs: the runner's costs.
        seconds: how long a call of a task took in earlier runs, by the task's name.
    """
    nodes = list(graph)
    uses = count_uses(nodes)
    levels = _levels(nodes)
    fused, obstacles = _fuse(nodes, uses, slots)
    rehearsal = rehearse(graph, slots, costs, seconds)
    planner = _Stages(rehearsal, levels, obstacles, seconds)
    stages = [planner.of_maps(maps) for maps in fused] + planner.of_all_calls(nodes)
    path = _longest_path(nodes, seconds)
    unknown = _unknown(nodes, rehearsal, seconds)
    is_known = not any(node.task.name not in seconds for node in nodes) and not rehearsal.left
    work = sum(_work(node, seconds) for node in nodes)
    longest = sum(_step(node, seconds) for node in path)
    return Plan(
        flow_name=graph.flow_name,
        runner=runner,
        slots=slots,
        window=rehearsal.most_under_way,
        nodes=len(nodes),
        stages=tuple(sorted(stages, key=lambda stage: stage.level)),
        critical_path=_shortened([node.key for node in path]),
        steps=len(path),
        seconds=rehearsal.seconds if is_known else None,
        least_seconds=max(longest, work / max(slots, 1)) if is_known else None,
        unknown=tuple(unknown),
    )


class _Stages:
    """Puts nodes that are carried out together into stages."""

    def __init__(
        self,
        rehearsal: Rehearsal,
        levels: dict[int, int],
        obstacles: dict[int, str],
        seconds: dict[str, float],
    ) -> None:
        self.levels = levels
        self.obstacles = obstacles
        self.seconds = seconds
        self.left = {id(node) for node in rehearsal.left}
        self.map_batches: dict[int, list[RehearsedBatch]] = {}  # by id() of the first map
        self.call_batches: dict[str, list[tuple[RehearsedBatch, int]]] = {}  # with how many calls
        for batch in rehearsal.batches:
            self._count(batch)

    def _count(self, batch: RehearsedBatch) -> None:
        if isinstance(batch.nodes[0], MapNode):
            self.map_batches.setdefault(id(batch.nodes[0]), []).append(batch)
            return
        for name, number in Counter(node.task.name for node in batch.nodes).items():
            self.call_batches.setdefault(name, []).append((batch, number))

    def of_all_calls(self, nodes: Iterable[Node]) -> list[PlannedStage]:
        """The stages of single calls: one for each task."""
        calls: dict[tuple[str, str, bool], list[Any]] = {}
        for node in nodes:
            if not isinstance(node, MapNode):
                key = (node.kind, node.task.name, id(node) in self.left)
                calls.setdefault(key, []).append(node)
        return [self._of_calls(kind, some) for (kind, _, _), some in calls.items()]

    def of_maps(self, maps: list[MapNode]) -> PlannedStage:
        """The stage of a map and those that are fused onto it."""
        head = maps[0]
        batches = self.map_batches.get(id(head), [])
        sizes = [batch.elements for batch in batches]
        return PlannedStage(
            names=tuple(node.key for node in maps),
            kind="map",
            nodes=len(maps),
            elements=head.length,
            level=self.levels[id(head)],
            priority=head.height,
            batches=len(batches),
            sizes=(min(sizes, default=0), max(sizes, default=0)),
            seconds=self._seconds(maps),
            why=tuple(self._why_map(maps, batches)),
        )

    def _why_map(self, maps: Sequence[MapNode], batches: Sequence[RehearsedBatch]) -> Iterable[str]:
        head = maps[0]
        if len(maps) > 1:
            yield "fused: an element goes through all of them in one worker"
        if id(head) in self.left:
            yield "its length is known when it runs"
            return
        if id(head) in self.obstacles:
            yield f"not fused: {self.obstacles[id(head)]}"
        if head.length == 0:
            yield "there is nothing to do"
        if head.task.batch_size is not None:
            yield f"batch_size={head.task.batch_size}"
        if len({batch.elements for batch in batches}) > 1:
            spent = [batch.ended - batch.begun for batch in batches]
            first, most = batches[0].elements, seconds_text(max(spent))
            yield f"{first:,} first, for an early result; up to {most} a batch"

    def _of_calls(self, kind: str, nodes: list[Any]) -> PlannedStage:
        head = nodes[0]
        is_planned = isinstance(head, TaskNode) and id(head) not in self.left
        batches = self.call_batches.get(head.task.name, []) if is_planned else []
        sizes = [number for _, number in batches]
        return PlannedStage(
            names=(head.key if len(nodes) == 1 else head.task.name,),
            kind=kind,
            nodes=len(nodes),
            elements=len(nodes),
            level=min(self.levels[id(node)] for node in nodes),
            priority=max(getattr(node, "height", 0) for node in nodes),
            batches=len(batches),
            sizes=(min(sizes, default=0), max(sizes, default=0)),
            seconds=self._seconds([head]),
            why=tuple(self._why_calls(head, batches)),
        )

    def _why_calls(self, head: Any, batches: Sequence[tuple[RehearsedBatch, int]]) -> Iterable[str]:
        if id(head) in self.left:
            yield "what it needs is known when it runs"
        if not batches:
            return
        reason = obstacle_to_sharing(head.task)
        if reason is not None:
            yield f"takes nothing along: {reason}"
        others = {node.task.name for batch, _ in batches for node in batch.nodes}
        others.discard(head.task.name)
        if others:
            yield f"in batches with {', '.join(sorted(others))}"

    def _seconds(self, nodes: Iterable[Any]) -> float | None:
        known = [self.seconds.get(node.task.name) for node in nodes]
        return None if None in known else sum(each for each in known if each is not None)


def _fuse(
    nodes: Iterable[Node], uses: Counter[int], slots: int
) -> tuple[list[list[MapNode]], dict[int, str]]:
    """Maps as they will be fused, and why others (by ``id()``) are not."""
    fused: list[list[MapNode]] = []
    obstacles: dict[int, str] = {}
    for node in nodes:
        if not isinstance(node, MapNode):
            continue
        node.work = [node]
        reason = obstacle_to_fusing(node, uses, slots)
        if reason is not None:
            obstacles[id(node)] = reason
        stages = fuse_map(node, uses, slots)
        if stages is None:
            fused.append(node.work)
        else:
            node.work = stages
    return fused, obstacles


def _levels(nodes: Iterable[Node]) -> dict[int, int]:
    """How many steps come before each node (by ``id()``), at least."""
    levels: dict[int, int] = {}
    for node in nodes:
        before = (levels.get(id(ref.node), -1) for ref in (*node.upstream, *node.order))
        levels[id(node)] = max(before, default=-1) + 1
    return levels


def _longest_path(nodes: Sequence[Node], seconds: dict[str, float]) -> list[Node]:
    """The nodes of the path that takes longest (of a map its slowest element counts: one)."""
    best: dict[int, tuple[float, Node | None]] = {}
    last: tuple[float, Node | None] = (0.0, None)
    for node in nodes:
        before, source = 0.0, None
        for ref in (*node.upstream, *node.order):
            spent = best.get(id(ref.node), (0.0, None))[0]
            if id(ref.node) in best and spent >= before:
                before, source = spent, ref.node
        best[id(node)] = before + _step(node, seconds), source
        if best[id(node)][0] > last[0]:
            last = best[id(node)][0], node
    path: list[Node] = []
    node_or_none = last[1]
    while node_or_none is not None:
        path.append(node_or_none)
        node_or_none = best[id(node_or_none)][1]
    return path[::-1]


def _step(node: Node, seconds: dict[str, float]) -> float:
    return seconds.get(node.task.name, ASSUMED_SECONDS)


def _work(node: Node, seconds: dict[str, float]) -> float:
    number = node.length if isinstance(node, MapNode) else 1
    return _step(node, seconds) * (number or 0)


def _shortened(keys: list[str]) -> tuple[str, ...]:
    if len(keys) <= 2 * _ENDS:
        return tuple(keys)
    return (*keys[:_ENDS], "...", *keys[-_ENDS:])


def _unknown(
    nodes: Iterable[Node], rehearsal: Rehearsal, seconds: dict[str, float]
) -> Iterable[str]:
    """Why there is no estimate."""
    names = sorted({node.task.name for node in nodes if node.task.name not in seconds})
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield (
            f"never measured, or async: {shown} "
            f"(batches are planned with {seconds_text(ASSUMED_SECONDS)} a call)"
        )
    maps = [
        node.key for node in rehearsal.left if isinstance(node, MapNode) and node.length is None
    ]
    if maps:
        yield f"length known at run time: {', '.join(maps[:5])}"
