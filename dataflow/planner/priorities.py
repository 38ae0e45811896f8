"""Which work comes first: that with the longest path to the end of the graph behind it.

The classic rule of list scheduling (Graham 1966; "highest level first"): what many others wait for,
one after the other, must not be late. Every node counts as one step, since most durations are not
known when a graph is planned.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.graph.nodes import CallNode, Node


def rank_by_longest_path(nodes: Sequence[Node]) -> None:
    """Set the ``height`` of nodes: how many steps follow the node on the longest path.

    Nodes must be in the order in which they were traced. Those that were traced before them, and
    which they need, are raised as well; what those need in turn has begun by then.
    """
    for node in reversed(nodes):
        if not node.upstream and not node.order:
            continue
        height = 1 + (0 if isinstance(node, CallNode) else node.height)
        for ref in (*node.upstream, *node.order):
            source = ref.node
            if not isinstance(source, CallNode) and source.height < height:
                source.height = height
