"""What was there already: calls that need not be made, as the lookups found."""

from __future__ import annotations

from array import array
from dataclasses import replace
from functools import partial

from dataflow.execution.loop.state.consequences import Consequences
from dataflow.execution.reuse.answers import Answer
from dataflow.execution.reuse.found_results import Origin, found_runs, records_of_answer
from dataflow.graph.nodes import ENDED_CODES, MapNode, Segment, TaskNode
from dataflow.model.states import StateCode

_FAILED = int(StateCode.FAILED)


class Answered(Consequences):
    """Takes in the answers of lookups."""

    def answered(self, answer: Answer) -> None:
        """It is known which of some calls need not be made: the others begin."""
        if answer.question.node is None:
            for position, call in enumerate(answer.question.nodes):
                self._call_answered(call, answer, position)
        else:
            self._elements_answered(answer.question.node, answer)
        self.outbox.records.extend(records_of_answer(answer, self.now_ns()))
        self._settle()

    def _call_answered(self, node: TaskNode, answer: Answer, position: int) -> None:
        if node.code in ENDED_CODES or position in answer.held:
            return
        failure = answer.failures.get(position)
        if failure is not None:
            self._not_ready(node, replace(failure, source=node.name), _FAILED)
        elif answer.places[position] is None:
            node.graph.queue.add_call(node)
        else:
            code = answer.codes[position]
            node.column, node.position = answer.column, answer.numbers[position]
            self._announce_call(node, code, bool(answer.is_own[position]))
            self._has_ended(node, code)
            node.drop_if_unneeded()
            if node.dependents:
                self._later(partial(self._task_ended, node))

    def _elements_answered(self, node: MapNode, answer: Answer) -> None:
        now, elements = self.now_ns(), answer.question.elements
        for start, stop, origin in found_runs(answer, node.settled):
            first = elements[start]
            if origin is Origin.NONE:
                node.graph.queue.add_range(node.work, first, first + stop - start)
                continue
            codes = bytes(answer.codes[start:stop])
            ended = array("q", (now,)) * (stop - start)
            offset = answer.numbers[start]
            last = first + stop - start
            node.segments.append(Segment(first, last, answer.column, offset, ended, 0))
            self._elements_ended(node, first, codes, origin is Origin.OWN)
        for position, failure in answer.failures.items():
            element = elements[position]
            named = replace(failure, source=node.element_name(element))
            self._element_not_ready(node, element, named, _FAILED)
