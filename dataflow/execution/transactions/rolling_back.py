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
from dataflow.model.records import CommittedRecord, DroppedKeysRecord, Record
from dataflow.model.states import StateCode
from dataflow.planner.bodies import runs_of

_ROLLED_BACK = bytes((StateCode.ROLLED_BACK,))
_DONE = GOOD_CODES - {int(StateCode.CACHED)}


def done_runs(node: Node) -> list[int]:
    """The indices of the task runs of a node that were done; 0 if it is a single one.

    What was committed before the run went on, or was tried again, is not among them.
    """
    done = _done(node)
    committed = _committed_before(node)
    return [index for index in done if index not in committed] if committed else done


def _done(node: Node) -> list[int]:
    if isinstance(node, CallNode):
        return [0]
    if isinstance(node, TaskNode):
        return [0] if node.announced in _DONE else []
    return [element for element, code in enumerate(node.codes) if code in _DONE]


def reused_runs(node: Node) -> set[int]:
    """The indices of the task runs whose results an earlier attempt has made."""
    return {index for span in node.graph.reused.get(node.id, ()) for index in span}


def note_committed(node: Node) -> None:
    """Record that the task runs of a node were committed, if the results are there later."""
    if node.graph.keeps(node.task):
        record = CommittedRecord(node.graph.run_id, node.id, now_ns())
        node.graph.queue.loop.writer.write([record], [])


def _committed_before(node: Node) -> set[int]:
    earlier = node.graph.results.earlier
    if earlier is None:
        return set()
    return {index for index in reused_runs(node) if earlier.was_committed(node.key, index)}


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
