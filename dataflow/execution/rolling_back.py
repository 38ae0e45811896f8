"""Task runs that had completed are recorded as rolled back, and announced as such.

Their results are not taken again from then on: neither by a run that goes on nor from the cache.
What was Cached did nothing in the transaction, so that there is nothing to undo.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.clock import now_ns
from dataflow.execution.announcements import Announcement, CallEnded, CallsEnded, ElementsEnded
from dataflow.execution.records_of import ended_now_record
from dataflow.graph.nodes import GOOD_CODES, CallNode, MapNode, Node, TaskNode
from dataflow.model.records import DroppedKeysRecord, Record
from dataflow.model.states import StateCode
from dataflow.planner.bodies import runs_of

_ROLLED_BACK = bytes((StateCode.ROLLED_BACK,))
_DONE = GOOD_CODES - {int(StateCode.CACHED)}


def done_runs(node: Node) -> list[int]:
    """The indices of the task runs of a node that were done; 0 if it is a single one."""
    if isinstance(node, CallNode):
        return [0]
    if isinstance(node, TaskNode):
        return [0] if node.announced in _DONE else []
    return [element for element, code in enumerate(node.codes) if code in _DONE]


def record_rolled_back(node: Node, runs: Sequence[int], attempt: int) -> None:
    """Record that task runs of a node were rolled back.

    Args:
        node: the node.
        runs: their indices.
        attempt: which attempt it was that completed, of a call in place.
    """
    records: list[Record] = []
    announcements = []
    for elements in runs_of(runs) if runs else ():
        attempts = [_attempt_of(node, element, attempt) for element in elements]
        records.append(ended_now_record(node, elements, StateCode.ROLLED_BACK, attempts))
        keys = node.graph.results.keys_of(node.id, elements)
        if keys:
            records.append(DroppedKeysRecord(node.graph.run_id, keys))
        announcements.append(_announcement(node, elements))
    if records:
        node.graph.queue.loop.writer.write(records, announcements)


def _attempt_of(node: Node, element: int, attempt: int) -> int:
    if isinstance(node, MapNode):
        return node.attempts.get(element, 1)
    return node.attempt if isinstance(node, TaskNode) else attempt


def _announcement(node: Node, elements: Sequence[int]) -> Announcement:
    if isinstance(node, TaskNode):
        return CallsEnded([node], _ROLLED_BACK, [now_ns()])
    if isinstance(node, MapNode):
        return ElementsEnded(node, elements[0], _ROLLED_BACK * len(elements))
    return CallEnded(node, int(StateCode.ROLLED_BACK))
