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
from dataflow.model.inputs import Aligned, Chunked, Fixed, Listed, Packed


def may_share(task: Any) -> bool:
    """Whether calls of a task may be fused with others at all."""
    return not (
        task.kind.startswith("async")
        or task.retry_policy.has_delays
        or task.timeout_seconds is not None
        or task.batch_size is not None
        or task.has_hooks
    )


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
    inputs = (*node.args, *node.kwargs.values())
    sources = {id(item.node): item.node for item in inputs if isinstance(item, Aligned)}
    if not sources or node.length is None or node.order:
        return None
    if any(isinstance(item, Aligned) and item.allow_failure for item in inputs):
        return None  # an element may have to run where the one before it never will
    if not all(_is_plain(item) for item in inputs if not isinstance(item, Aligned)):
        return None
    works = {id(source.work): source.work for source in sources.values()}
    if len(works) != 1:
        return None
    (stages,) = works.values()
    if not _can_extend(stages, node):
        return None
    alone = all(uses[key] == 1 for key in sources)
    if not alone and node.length < 4 * threads:
        return None
    stages.append(node)
    found: list[MapNode] = stages
    return found


def _is_plain(item: Any) -> bool:
    if isinstance(item, (Packed, Chunked)):
        return True
    return isinstance(item, (Fixed, Listed)) and not item.refs


def _can_extend(stages: Any, node: MapNode) -> bool:
    """Whether these are the stages of a map that has not begun, and the node fits behind them."""
    if not isinstance(stages, list):
        return False
    return all(
        fit(stage.task, node.task)
        and stage.graph is node.graph
        and stage.left == stage.length  # nothing of it has ended: it was cancelled, or cannot begin
        for stage in stages
    )


def kept_stages(stages: Sequence[MapNode]) -> list[bool]:
    """Which stages' values anyone can still ask for: the rest live within the batch only."""
    inside = {id(stage) for stage in stages}
    kept = []
    for stage in stages:
        wanted = stage.keep or (stage.handle is not None and stage.handle() is not None)
        outside = any(id(entry[0]) not in inside for entry in stage.dependents or ())
        kept.append(bool(wanted or outside or stage.element_dependents or stage is stages[-1]))
    return kept
