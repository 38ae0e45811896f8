"""What was traced: what each node waits for, and maps whose length shows later."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from dataflow.execution.announcements import LengthKnown
from dataflow.execution.loop.map_lengths import find_length
from dataflow.execution.loop.state.consequences import UNKNOWN, Consequences, pending_ranges
from dataflow.execution.loop.works import MapWork
from dataflow.execution.records_of import node_record
from dataflow.graph.nodes import ENDED_CODES, GOOD_CODES, CallNode, MapNode, Node, TaskNode
from dataflow.model.batches import Failure
from dataflow.model.inputs import Aligned, Fixed, Gathered, Listed, Ref, Spread, refs_in
from dataflow.model.records import NodeLengthRecord
from dataflow.model.states import StateCode
from dataflow.planner.fusion import count_uses, fuse_map
from dataflow.planner.priorities import rank_by_longest_path
from dataflow.worker.failures import describe

_PENDING = int(StateCode.PENDING)


class Traced(Consequences):
    """Takes in new nodes."""

    def traced(self, nodes: list[Node]) -> None:
        """New nodes of one graph, in the order in which they were traced."""
        uses = count_uses(nodes)
        rank_by_longest_path(nodes)
        self.outbox.records.extend(map(node_record, nodes))
        for node in nodes:
            for ref in node.upstream:
                if not isinstance(ref.node, CallNode):
                    ref.node.users += 1
            if isinstance(node, TaskNode):
                self._add_task(node)
            elif isinstance(node, MapNode):
                self._add_map(node, uses)
        self._settle()

    def _add_task(self, node: TaskNode) -> None:
        failed = None
        if node.upstream or node.order:
            for ref in dict.fromkeys((*node.upstream, *node.order)):
                source = ref.node
                if type(source) is TaskNode and source.code == _PENDING:
                    if source.dependents is None:
                        source.dependents = []
                    source.dependents.append((node, None, ref.allow_failure))
                    node.waiting += 1
                else:
                    failed = self._wait_for(node, ref, None) or failed
        if failed is not None:
            self._later(partial(self._not_ready, node, failed))
        elif node.waiting == 0:
            self._begin_call(node)

    def _wait_for(self, node: TaskNode | MapNode, ref: Ref, element: int | None) -> Failure | None:
        """Have ``node`` (or one element) wait for a reference; the failure if that has failed."""
        source = ref.node
        entry = (node, element, ref.allow_failure)
        if isinstance(source, TaskNode):
            if source.code in ENDED_CODES:
                return self._verdict(source.code, ref.allow_failure, source.failure)
            source.dependents = source.dependents or []
            source.dependents.append(entry)
        elif isinstance(source, MapNode):
            return self._wait_for_map(entry, source, ref)
        else:
            return None
        self._count(node, element)
        return None

    def _wait_for_map(self, entry: Any, source: MapNode, ref: Ref) -> Failure | None:
        node, element, allow = entry
        if source.failure is not None:
            return source.failure
        if ref.element is not None:
            code = source.settled[ref.element]
            if code in ENDED_CODES:
                return self._verdict(code, allow, source.failure_of(ref.element))
            source.element_dependents.setdefault(ref.element, []).append(entry)
        else:
            if source.left == 0:
                failed = bool(source.failures) and not allow
                return source.failure_of() if failed else None
            source.dependents = source.dependents or []
            source.dependents.append(entry)
        self._count(node, element)
        return None

    @staticmethod
    def _count(node: TaskNode | MapNode, element: int | None) -> None:
        if element is None:
            node.waiting += 1
        else:
            assert isinstance(node, MapNode)
            if node.missing is None:
                node.missing = [0] * (node.length or 0)
            node.missing[element] += 1

    @staticmethod
    def _verdict(code: int, allow: bool, failure: Failure | None) -> Failure | None:
        return None if code in GOOD_CODES or allow else failure

    def _add_map(self, node: MapNode, uses: Any) -> None:
        if node.length is not None:
            node.set_length(node.length)
        node.work = [node]
        slots = node.graph.queue.runner.slots
        if node.length is not None and not self._is_failed(node):
            stages = fuse_map(node, uses, slots)
            if stages is not None:
                node.work = stages
                return
        for ref in node.upstream:  # it does not run with them, so their values have to be kept
            if isinstance(ref.node, MapNode):
                ref.node.keep = True
        failed = None
        for ref in self._whole_refs(node):
            failed = self._wait_for(node, ref, None) or failed
        if failed is None and node.length is None:
            failed = self._wait_for_length(node)
        if failed is not None:
            self._later(partial(self._map_not_ready, node, failed))
        elif node.waiting == 0:
            self._later(partial(self._open_map, node))

    @staticmethod
    def _is_failed(node: MapNode) -> bool:
        return any(ref.node.failure for ref in node.upstream if isinstance(ref.node, MapNode))

    @staticmethod
    def _whole_refs(node: MapNode) -> list[Ref]:
        """What all elements wait for: everything but what each has of its own."""
        refs = dict.fromkeys(node.order)
        for item in (*node.args, *node.kwargs.values()):
            if isinstance(item, Fixed):
                refs.update(dict.fromkeys(refs_in(item.refs)))
            elif isinstance(item, Spread):
                refs[Ref(item.ref.node, item.ref.element)] = None
        return list(refs)

    def _wait_for_length(self, node: MapNode) -> Failure | None:
        """Ask for the lengths of what a map goes over; they come with the values."""
        for item in (*node.args, *node.kwargs.values()):
            if isinstance(item, Spread) and isinstance(item.ref.node, TaskNode):
                item.ref.node.wants_length = True
            if isinstance(item, Aligned) and item.node.length is None:
                if item.node.failure is not None:
                    failure: Failure = item.node.failure
                    return failure
                item.node.length_dependents.append(node)
                node.waiting += 1
        return None

    def _open_map(self, node: MapNode) -> None:
        """All that the whole map waited for is there: find the length, begin with what can."""
        if node.failure is not None or node.left == 0:
            return
        if node.length is None:
            try:
                length = find_length(node)
            except Exception as error:
                failure = replace(describe(error), source=node.name)
                self._map_not_ready(node, failure, int(StateCode.FAILED))
                return
            self._set_length(node, length)
        assert node.length is not None
        if node.length == 0:
            self._map_ended(node)
            return
        stages = node.work if isinstance(node.work, list) else [node]
        MapWork(stages)
        for element, failure in self._wait_for_elements(node):
            self._element_not_ready(node, element, failure)
        self._add_ready(node)

    def _set_length(self, node: MapNode, length: int) -> None:
        node.set_length(length)
        self.outbox.records.append(NodeLengthRecord(node.graph.run_id, node.id, length))
        self.outbox.announcements.append(LengthKnown(node))
        waiting, node.length_dependents = node.length_dependents, []
        for dependent in waiting:
            self._arrived((dependent, None, False), None)

    def _wait_for_elements(self, node: MapNode) -> list[tuple[int, Failure]]:
        """Count what each element of a map still misses; the elements that can never begin."""
        failed: list[tuple[int, Failure]] = []
        for item in (*node.args, *node.kwargs.values()):
            if isinstance(item, (Gathered, Listed)):
                for element, target in enumerate(item.refs):
                    for ref in refs_in(target):
                        failure = self._wait_for(node, ref, element)
                        if failure is not None:
                            failed.append((element, failure))
            elif isinstance(item, Aligned):
                failed += self._wait_for_aligned(node, item)
        return failed

    def _wait_for_aligned(self, node: MapNode, item: Aligned) -> list[tuple[int, Failure]]:
        source: MapNode = item.node
        failed: list[tuple[int, Failure]] = []
        assert node.length is not None
        if source.left:
            if node.missing is None:
                node.missing = [0] * node.length
            source.aligned_dependents.append((node, item.allow_failure))
        for element in range(node.length):
            code = source.settled[element]
            if code not in ENDED_CODES:
                assert node.missing is not None
                node.missing[element] += 1
            elif code not in GOOD_CODES and not item.allow_failure:
                failed.append((element, source.failure_of(element) or UNKNOWN))
        return failed

    def _add_ready(self, node: MapNode) -> None:
        """Queue every element that misses nothing."""
        assert node.length is not None
        if node.missing is None:
            for start, stop in pending_ranges(node.settled):
                self._begin_elements(node, start, stop)
            return
        for element, missing in enumerate(node.missing):
            if not missing and node.settled[element] == _PENDING:
                self._begin_elements(node, element, element + 1)
