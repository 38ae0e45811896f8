"""Calls that can begin are put together into questions: have they been made before?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dataflow.execution.loop.state.outbox import Lookup
from dataflow.execution.reuse.answers import Answer, Question
from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.model.batches import Batch
from dataflow.planner.bodies import BodyBuilder

_MOST_CALLS = 5000


def questions_of(lookups: list[Lookup]) -> Iterator[Question]:
    """The questions that some lookups come to, none of them large."""
    calls: dict[tuple[int, int], list[TaskNode]] = {}
    maps: dict[int, tuple[MapNode, list[Lookup]]] = {}
    for lookup in lookups:
        node = lookup.node
        if isinstance(node, TaskNode):
            calls.setdefault((id(node.graph), id(node.task)), []).append(node)
        else:
            maps.setdefault(id(node), (node, []))[1].append(lookup)
    for nodes in calls.values():
        for at in range(0, len(nodes), _MOST_CALLS):
            yield question_of_calls(nodes[at : at + _MOST_CALLS])
    for node, parts in maps.values():
        for start, stop in _joined(parts):
            for at in range(start, stop, _MOST_CALLS):
                yield _of_elements(node, range(at, min(at + _MOST_CALLS, stop)))


def held_lookups(answer: Answer) -> list[Lookup]:
    """The calls that wait for another run, to be looked up again."""
    question = answer.question
    if question.node is None:
        return [Lookup(question.nodes[at]) for at in sorted(answer.held)]
    elements = [question.elements[at] for at in sorted(answer.held)]
    return [Lookup(question.node, each, each + 1) for each in elements]


def leased_calls(answer: Answer) -> dict[bytes, tuple[Any, int | None]]:
    """By key, the calls that others wait for."""
    question = answer.question
    if question.node is None:
        return {key: (question.nodes[at], None) for at, key in answer.leased.items()}
    return {key: (question.node, question.elements[at]) for at, key in answer.leased.items()}


def _joined(parts: list[Lookup]) -> list[tuple[int, int]]:
    """Ranges of elements, neighbours made one."""
    ranges: list[tuple[int, int]] = []
    for part in sorted(parts, key=lambda part: part.start):
        if ranges and ranges[-1][1] == part.start:
            ranges[-1] = (ranges[-1][0], part.stop)
        else:
            ranges.append((part.start, part.stop))
    return ranges


def question_of_calls(nodes: list[TaskNode]) -> Question:
    """The question of some single calls of one task."""
    builder = BodyBuilder()
    graph = nodes[0].graph
    return Question(graph, _batch(graph, builder, builder.calls(nodes)), nodes=nodes)


def _of_elements(node: MapNode, elements: range) -> Question:
    builder = BodyBuilder()
    body = builder.elements([node], [True], elements)
    return Question(node.graph, _batch(node.graph, builder, body), node, elements)


def _batch(graph: Any, builder: BodyBuilder, body: Any) -> Batch:
    return Batch(0, graph.info, builder.tasks, body, builder.inputs)
