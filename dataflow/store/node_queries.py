"""Nodes of a run and what became of their elements, read from one view of the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dataflow.errors import StoreError
from dataflow.model.states import State, StateCode
from dataflow.store.database import Transaction
from dataflow.store.element_queries import (
    FAILING,
    attempts_at,
    batch_times,
    count_elements,
    elements_in,
)
from dataflow.store.node_chunks import NodeFields, apply_chunks
from dataflow.store.run_keys import run_key
from dataflow.store.run_queries import logs
from dataflow.store.summaries import (
    ElementDetail,
    FailureSummary,
    NodeSummary,
    NodeTiming,
)


def nodes(view: Transaction, run_id: str) -> list[NodeSummary]:
    """All nodes of a run in the order of their numbers, with counts by state."""
    key = run_key(run_id)
    fields = _all_fields(view, key)
    counts = count_elements(view, key)
    nothing: Mapping[StateCode, int] = {}
    return [_summary(fields[node], counts.get(node, nothing)) for node in sorted(fields)]


def element(view: Transaction, run_id: str, node: int, index: int) -> ElementDetail:
    """One element: its state, attempts and logs.

    Raises:
        StoreError: the run has no such node, or the node no such element.
    """
    found = _node(view, run_id, node)
    if found is None:
        raise StoreError(f"Run {run_id} has no node {node}.", run_id=run_id, node=node)
    _check_index(found, run_id, index)
    state, attempts = attempts_at(view, run_key(run_id), node, index)
    return ElementDetail(
        run_id=run_id,
        node=node,
        index=index,
        name=found.element_name(index),
        task_name=found.task_name,
        state=state or State.of_code(StateCode.PENDING, timestamp=found.created),
        attempts=attempts,
        logs=tuple(logs(view, run_id, node, index)),
    )


def failures(
    view: Transaction, run_id: str, node: int | None, limit: int | None
) -> list[FailureSummary]:
    """Elements that ended Failed, TimedOut or Crashed, by node and index."""
    key = run_key(run_id)
    places = sorted(elements_in(view, key, FAILING, node))[: None if limit is None else limit]
    owners: dict[int, NodeSummary] = {}
    found = []
    for number, index in places:
        if number not in owners:
            owners[number] = _node(view, run_id, number) or _unknown(number)
        owner = owners[number]
        _, attempts = attempts_at(view, key, number, index)
        name = owner.element_name(index)
        found.append(FailureSummary(number, index, name, owner.task_name, attempts[-1]))
    return found


def elements_in_states(
    view: Transaction, run_id: str, codes: Collection[int]
) -> list[tuple[int, int]]:
    """Node and index of each element of a run that is in one of some states."""
    return list(elements_in(view, run_key(run_id), codes))


def timing(view: Transaction, run_id: str) -> list[NodeTiming]:
    """The time that went into each node that ran, by the number of the node."""
    key = run_key(run_id)
    fields = _all_fields(view, key)
    return [
        NodeTiming(node, _summary(fields[node], {}).task_name, calls, busy / 1e9, first, last)
        for node, (calls, busy, first, last) in sorted(batch_times(view, key).items())
        if node in fields
    ]


def _all_fields(view: Transaction, key: int) -> dict[int, NodeFields]:
    return apply_chunks(chunk for (chunk,) in view.each("node_chunks", (key,)))


def _node(view: Transaction, run_id: str, node: int) -> NodeSummary | None:
    chunks = view.rows("node_chunks_around", (run_key(run_id), node, node))
    fields = apply_chunks(chunk for (chunk,) in chunks).get(node)
    return None if fields is None else _summary(fields, {})


def _unknown(node: int) -> NodeSummary:
    """Stands in for a node whose own record has not come yet."""
    name = f"node-{node}"
    return NodeSummary(node, "map", name, name, name, None, (), (), (), 0, None, {})


def _summary(fields: NodeFields, counts: Mapping[StateCode, int]) -> NodeSummary:
    values: NodeFields = (*fields, counts)
    return NodeSummary(*values)


def _check_index(node: NodeSummary, run_id: str, index: int) -> None:
    if index >= 0 and (node.length is None or index < node.length):
        return
    length = "not known yet" if node.length is None else node.length
    raise StoreError(
        f"{node.name} of run {run_id} has no element {index}: its length is {length}.",
        run_id=run_id,
        node=node.node,
        index=index,
    )
