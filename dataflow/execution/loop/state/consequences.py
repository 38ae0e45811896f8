"""What follows when a call or a map can begin, has ended, or will never begin.

Consequences of consequences wait in line, so that a chain of a million calls is no recursion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from dataflow.execution.announcements import CallsEnded, ElementsEnded, MapFailed
from dataflow.execution.loop.failure_log import FailureLog
from dataflow.execution.loop.queues import RunnerQueue
from dataflow.execution.loop.state.outbox import Lookup, Outbox
from dataflow.execution.loop.works import MapWork
from dataflow.execution.records_of import unbegun_records
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import ENDED_CODES, GOOD_CODES, CallNode, MapNode, TaskNode
from dataflow.model.batches import Failure
from dataflow.model.states import StateCode

_NOTHING: dict[Any, float] = {}
_PENDING = int(StateCode.PENDING)
_NOT_READY = int(StateCode.NOT_READY)
_AWAITING_RETRY = int(StateCode.AWAITING_RETRY)
UNKNOWN = Failure("RuntimeError", "it did not end well", b"", "")


class Consequences(ABC):
    """All graphs of this process, and what is to be done about them.

    Args:
        now_ns: the clock (epoch nanoseconds), injected.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.outbox = Outbox()
        self._cascade: deque[Callable[[], None]] = deque()
        self.failure_log = FailureLog()

    def take_outbox(self) -> Outbox:
        """What has to be done now; the next call starts empty."""
        outbox, self.outbox = self.outbox, Outbox()
        return outbox

    @abstractmethod
    def _open_map(self, node: MapNode) -> None:
        """All that a whole map waited for is there."""

    def _begin_call(self, node: TaskNode) -> None:
        """A call waits for nothing any more, unless for what earlier results there are."""
        if node.graph.looks_up(node.task):
            self.outbox.lookups.append(Lookup(node))
        else:
            node.graph.queue.add_call(node)

    def _begin_elements(self, node: MapNode, start: int, stop: int) -> None:
        """The same for elements of a map."""
        if node.graph.looks_up(node.task):
            self.outbox.lookups.append(Lookup(node, start, stop))
        else:
            node.graph.queue.add_range(node.work, start, stop)

    def _return_calls(
        self, queue: RunnerQueue, nodes: Sequence[TaskNode], first: bool = False
    ) -> None:
        """Calls are in no batch any more: those that wait for nothing are queued again."""
        for node in reversed(nodes) if first else nodes:
            node.aboard = False
            if node.code in ENDED_CODES:
                continue
            failure = _failure_before(node)
            if failure is not None:  # nobody told it while it was in the batch
                self._later(partial(self._not_ready, node, failure))
            elif node.waiting == 0:
                queue.add_call(node, first)

    @staticmethod
    def _has_ended(node: TaskNode, code: int) -> None:
        """What a call needed is not needed for its sake any more."""
        node.code = code
        node.arguments = node.links = None
        if node.upstream:
            _release(node)

    def _announce_call(self, node: TaskNode, code: int, is_own: bool = False) -> None:
        ended = CallsEnded([node], bytes((code,)), [self.now_ns()], is_own)
        self.outbox.announcements.append(ended)

    def _elements_ended(
        self, node: MapNode, start: int, codes: bytes, is_own: bool = False
    ) -> None:
        """Elements that had not ended before have ended, or await a retry."""
        waiting = codes.count(_AWAITING_RETRY)
        settled = codes
        if waiting:
            settled = codes.replace(bytes((_AWAITING_RETRY,)), bytes((_PENDING,)))
        node.settled[start : start + len(codes)] = settled
        node.left -= len(codes) - waiting
        self.outbox.announcements.append(ElementsEnded(node, start, codes, is_own))
        if node.element_dependents:
            self._tell_element_dependents(node, start, codes)
        for entry in node.aligned_dependents:
            self._tell_aligned(entry, node, start, codes)
        if node.left == 0:
            self._map_ended(node)

    def _tell_element_dependents(self, node: MapNode, start: int, codes: bytes) -> None:
        stop = start + len(codes)
        for element in [e for e in node.element_dependents if start <= e < stop]:
            code = node.settled[element]
            if code in ENDED_CODES:
                failure = None if code in GOOD_CODES else node.failure_of(element)
                for entry in node.element_dependents.pop(element):
                    self._later(partial(self._arrived, entry, failure))

    def _tell_aligned(
        self, entry: tuple[MapNode, bool], source: MapNode, start: int, codes: bytes
    ) -> None:
        node, allow = entry
        assert node.missing is not None
        for element, code in enumerate(codes, start):
            if code not in ENDED_CODES:
                continue
            if code in GOOD_CODES or allow:
                self._element_arrived(node, element)
            else:
                failure = source.failure_of(element) or UNKNOWN
                self._element_not_ready(node, element, failure)

    def _task_ended(self, node: TaskNode) -> None:
        dependents, node.dependents = node.dependents or (), None
        failure = None if node.code in GOOD_CODES else node.failure or UNKNOWN
        for entry in dependents:
            waits, element, _ = entry
            if failure is None and element is None and waits.waiting > 1:
                waits.waiting -= 1  # the most frequent of what follows
            else:
                self._arrived(entry, failure)

    def _map_ended(self, node: MapNode) -> None:
        dependents, node.dependents = node.dependents or (), None
        _release(node)
        failure = node.failure_of()
        for entry in dependents:
            self._later(partial(self._arrived, entry, failure))

    def _arrived(self, entry: tuple[Any, int | None, bool], failure: Failure | None) -> None:
        """Something that a node (or an element) waited for has ended."""
        node, element, allow = entry
        if failure is not None and not allow:
            if element is not None:
                self._element_not_ready(node, element, failure)
            elif isinstance(node, TaskNode):
                if not node.aboard:  # else its worker knows, and tells
                    self._not_ready(node, failure)
            else:
                self._map_not_ready(node, failure)
            return
        if element is not None:
            self._element_arrived(node, element)
            return
        node.waiting -= 1
        if node.waiting:
            return
        if isinstance(node, TaskNode):
            if node.code == _PENDING and not node.aboard:
                self._begin_call(node)
        else:
            self._open_map(node)

    def _element_arrived(self, node: MapNode, element: int) -> None:
        assert node.missing is not None
        node.missing[element] -= 1
        if node.missing[element] == 0 and node.settled[element] == _PENDING:
            self._begin_elements(node, element, element + 1)

    def _not_ready(self, node: TaskNode, failure: Failure, code: int = _NOT_READY) -> None:
        """A task run ends without having begun."""
        if node.code in ENDED_CODES:
            return
        node.failure = failure
        self._has_ended(node, code)
        self._record_attempts(node.graph, unbegun_records(node, range(1), code, failure))
        self._announce_call(node, code)
        if node.dependents:
            self._later(partial(self._task_ended, node))

    def _element_not_ready(
        self, node: MapNode, element: int, failure: Failure, code: int = _NOT_READY
    ) -> None:
        stages = node.work.stages if isinstance(node.work, MapWork) else [node]
        for stage in stages[stages.index(node) :]:
            if stage.settled[element] in ENDED_CODES:
                continue
            stage.failures[element] = failure
            elements = range(element, element + 1)
            self._record_attempts(stage.graph, unbegun_records(stage, elements, code, failure))
            self._elements_ended(stage, element, bytes((code,)))
            code = _NOT_READY

    def _map_not_ready(self, node: MapNode, failure: Failure, code: int = _NOT_READY) -> None:
        """No element of a map (nor of those fused onto it) will begin."""
        stages = node.work if isinstance(node.work, list) else [node]
        for stage in stages:
            if stage.left == 0 or stage.failure is not None:
                continue
            if stage.length is None:
                stage.failed_code, stage.failure = code, failure
                self._record_attempts(stage.graph, unbegun_records(stage, range(1), code, failure))
                self.outbox.announcements.append(MapFailed(stage))
                waiting, stage.length_dependents = stage.length_dependents, []
                follows = _NOT_READY if code == StateCode.FAILED else code
                for dependent in waiting:
                    self._later(partial(self._map_not_ready, dependent, failure, follows))
                self._map_ended(stage)
                continue
            self._fail_rest(stage, failure, code)

    def _fail_rest(self, node: MapNode, failure: Failure, code: int) -> None:
        """End every element of a map that has not ended."""
        for start, stop in pending_ranges(node.settled):
            for element in range(start, stop):
                node.failures[element] = failure
            records = unbegun_records(node, range(start, stop), code, failure)
            self._record_attempts(node.graph, records)
            self._elements_ended(node, start, bytes((code,)) * (stop - start))

    def _record_attempts(
        self, graph: FlowGraph, records: list[Any], retries: Mapping[Any, float] = _NOTHING
    ) -> None:
        """Record attempts, and log those that failed."""
        self.outbox.records.extend(records)
        self.outbox.records.extend(self.failure_log.lines_of(graph, records, retries))

    def _later(self, step: Callable[[], None]) -> None:
        """Do something after this: chains of consequences are never recursive."""
        self._cascade.append(step)

    def _settle(self) -> None:
        while self._cascade:
            self._cascade.popleft()()


def _release(node: TaskNode | MapNode) -> None:
    """A node has ended: values that only it needed may go."""
    for ref in node.upstream:
        source = ref.node
        if not isinstance(source, CallNode):
            source.users -= 1
            if not source.users:
                source.drop_if_unneeded()


def _failure_before(node: TaskNode) -> Failure | None:
    """Why a call can never begin, if one that it needs has failed."""
    for ref in (*node.upstream, *node.order):
        source = ref.node
        failed = isinstance(source, TaskNode) and source.code in ENDED_CODES - GOOD_CODES
        if failed and not ref.allow_failure:
            return source.failure or UNKNOWN
    return None


def pending_ranges(settled: bytearray) -> list[tuple[int, int]]:
    """Elements in a row that have not ended: start and stop of each run."""
    if settled == bytes(len(settled)):
        return [(0, len(settled))]
    ranges: list[tuple[int, int]] = []
    for element, code in enumerate(settled):
        if code in ENDED_CODES:
            continue
        if ranges and ranges[-1][1] == element:
            ranges[-1] = (ranges[-1][0], element + 1)
        else:
            ranges.append((element, element + 1))
    return ranges
