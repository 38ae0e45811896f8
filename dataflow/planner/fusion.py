"""What may be carried out in one go, and which maps are.

A map is fused onto another when its elements line up with the other's one to one, and both may run
in the same place: same resources, both synchronous, no retries that wait. Each keeps its own
states, times and logs: fusing shows nowhere. (Which single calls go into one batch is decided when
it is made: see ``calls``.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from dataflow.graph.nodes import MapNode, Node
from dataflow.graph.tags import limits_of
from dataflow.model.inputs import Aligned, Chunked, Fixed, Listed, Packed


def may_share(task: Any) -> bool:
    """Whether calls of a task may be fused with others at all."""
    return obstacle_to_sharing(task) is None


def obstacle_to_sharing(task: Any) -> str | None:
    """Why calls of a task are not fused with others; None: they may be."""
    if task.kind.startswith("async"):
        return f"calls of {task.name} wait beside each other"
    if task.retry_policy.has_delays:
        return f"retries of {task.name} are delayed"
    if task.timeout_seconds is not None:
        return f"{task.name} has a time limit"
    if task.batch_size is not None:
        return f"{task.name} has a batch_size"
    if task.has_hooks:
        return f"{task.name} has state hooks"
    return None


def fit(first: Any, second: Any) -> bool:
    """Whether calls of two tasks may be carried out in one go."""
    return may_share(first) and may_share(second) and first.resources == second.resources


def count_uses(nodes: Iterable[Node]) -> Counter[int]:
    """How often each node (by ``id()``) is needed by others of these."""
    uses: Counter[int] = Counter()
    for node in nodes:
        uses.update({id(ref.node) for ref in (*node.upstream, *node.order)})
    return uses


def fuse_map(node: MapNode, uses: Counter[int], threads: int) -> list[MapNode] | None:
    """The stages that ``node`` continues, extended by it; None if it starts its own.

    A branch is fused only where there are elements enough to keep every thread busy without it.
    """
    sources = _aligned_sources(node)
    if not sources or _obstacle(node, sources, uses, threads) is not None:
        return None
    stages: list[MapNode] = sources[0].work
    stages.append(node)
    return stages


def obstacle_to_fusing(node: MapNode, uses: Counter[int], threads: int) -> str | None:
    """Why a map that goes over others' values is not fused onto them; None: it is, or does not."""
    sources = _aligned_sources(node)
    return _obstacle(node, sources, uses, threads) if sources else None


def _aligned_sources(node: MapNode) -> list[MapNode]:
    """The maps whose elements line up with those of this one."""
    inputs = (*node.args, *node.kwargs.values())
    return list({id(item.node): item.node for item in inputs if isinstance(item, Aligned)}.values())


def _obstacle(
    node: MapNode, sources: list[MapNode], uses: Counter[int], threads: int
) -> str | None:
    reason = _obstacle_in_inputs(node)
    if reason is not None:
        return reason
    assert node.length is not None
    if len({id(source.work) for source in sources}) != 1:
        return "what it goes over is not carried out together"
    stages = sources[0].work
    if not isinstance(stages, list):
        return "what it goes over has begun"
    for stage in stages:
        reason = _obstacle_between(stage, node)
        if reason is not None:
            return reason
    if any(uses[id(source)] != 1 for source in sources) and node.length < 4 * threads:
        return "others take the same values, and there are too few elements to do it twice"
    return None


def _obstacle_in_inputs(node: MapNode) -> str | None:
    inputs = (*node.args, *node.kwargs.values())
    if node.length is None:
        return "its length is known at run time"
    if node.order:
        return "it waits for other tasks as a whole"
    if any(isinstance(item, Aligned) and item.allow_failure for item in inputs):
        return "an element may have to run where the one before it never will"
    if not all(_is_plain(item) for item in inputs if not isinstance(item, Aligned)):
        return "another of its arguments comes from a task"
    return None


def _obstacle_between(stage: MapNode, node: MapNode) -> str | None:
    if node.graph.looks_up(node.task) or stage.graph.looks_up(stage.task):
        return "results may be there already"
    if stage.graph is not node.graph or stage.left != stage.length:
        return "what it goes over was cancelled, cannot begin, or is another run's"
    if limits_of(stage) or limits_of(node):
        return "there is a limit on its tags, or on those of what it goes over"
    if fit(stage.task, node.task):
        return None
    return (
        obstacle_to_sharing(node.task)
        or obstacle_to_sharing(stage.task)
        or f"{stage.task.name} and {node.task.name} need different resources"
    )


def _is_plain(item: Any) -> bool:
    if isinstance(item, (Packed, Chunked)):
        return True
    return isinstance(item, (Fixed, Listed)) and not item.refs


def kept_stages(stages: Sequence[MapNode]) -> list[bool]:
    """Which stages' values anyone can still ask for: the rest live within the batch only."""
    inside = {id(stage) for stage in stages}
    kept = []
    for stage in stages:
        outside = any(id(entry[0]) not in inside for entry in stage.dependents or ())
        wanted = stage.keep or stage.wanted or stage.graph.keeps(stage.task)
        kept.append(bool(wanted or outside or stage.element_dependents or stage is stages[-1]))
    return kept
