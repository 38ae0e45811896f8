"""The heart: which node can begin, which has ended, and what follows from that.

No input or output, no clock, no thread: things are told to it (``traced``, ``reported``, ``lost``,
``retry``, ``cancel``), and what is to be done stands in its outbox afterwards: records to write,
announcements to make once they are written, retries to come back to.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dataflow.errors import CancelledRun
from dataflow.execution.announcements import (
    Announcement,
    CallsEnded,
    ElementsEnded,
    LengthKnown,
    MapFailed,
)
from dataflow.execution.cancelling import positions_of
from dataflow.execution.failure_log import FailureLog
from dataflow.execution.found_results import found_runs, records_of_answer
from dataflow.execution.learning import learn
from dataflow.execution.lookups import Answer
from dataflow.execution.losses import Verdict, lost_calls, lost_elements, verdict_on
from dataflow.execution.map_lengths import find_length
from dataflow.execution.queues import Flight, MapWork, RunnerQueue
from dataflow.execution.records_of import (
    attempt_records,
    batch_records,
    log_records,
    lost_attempt_record,
    node_record,
    retries_of,
    unbegun_records,
)
from dataflow.execution.report_pieces import column_start, pieces_of, with_holes
from dataflow.execution.result_records import result_records
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import (
    ENDED_CODES,
    GOOD_CODES,
    CallNode,
    MapNode,
    Node,
    Segment,
    TaskNode,
)
from dataflow.model.batches import BatchReport, Failure
from dataflow.model.inputs import Aligned, Fixed, Gathered, Listed, Ref, Spread, refs_in
from dataflow.model.records import NodeLengthRecord, Record
from dataflow.model.states import StateCode
from dataflow.planner.bodies import runs_of
from dataflow.planner.fusion import count_uses, fuse_map
from dataflow.planner.priorities import rank_by_longest_path
from dataflow.worker.failures import describe

_NOTHING: dict[Any, float] = {}
_COMPLETED = int(StateCode.COMPLETED)
_PENDING = int(StateCode.PENDING)
_NOT_READY = int(StateCode.NOT_READY)
_CACHED = int(StateCode.CACHED)
_AWAITING_RETRY = int(StateCode.AWAITING_RETRY)


@dataclass(slots=True)
class Retry:
    """A call that is to begin again in ``delay`` seconds."""

    node: TaskNode | MapNode
    element: int
    delay: float


@dataclass(slots=True)
class Lookup:
    """A call, or elements of a map, that can begin unless their results are there already."""

    node: TaskNode | MapNode
    start: int = 0
    stop: int = 1


@dataclass(slots=True)
class Outbox:
    """What follows from what was told."""

    records: list[Record] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    released: list[Any] = field(default_factory=list)


class RunState:
    """All graphs of this process, and what runs of them.

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

    # --- what was traced -------------------------------------------------------------------------

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
                failed = self._wait_for(node, ref, None) or failed
        if failed is not None:
            self._later(partial(self._not_ready, node, failed))
        elif node.waiting == 0:
            self._begin_call(node)

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

    # --- maps ------------------------------------------------------------------------------------

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
                failed.append((element, source.failure_of(element) or _UNKNOWN))
        return failed

    def _add_ready(self, node: MapNode) -> None:
        """Queue every element that misses nothing."""
        assert node.length is not None
        if node.missing is None:
            for start, stop in _pending_ranges(node.settled):
                self._begin_elements(node, start, stop)
            return
        for element, missing in enumerate(node.missing):
            if not missing and node.settled[element] == _PENDING:
                self._begin_elements(node, element, element + 1)

    # --- what came back --------------------------------------------------------------------------

    def reported(self, queue: RunnerQueue, report: BatchReport) -> None:
        """A batch is done, or a part of it; what it did not reach goes back into the queue."""
        flight = queue.flights.get(report.batch_id)
        if flight is None:
            return
        learn(queue.book, flight, report)
        known = _told_before(flight, report)
        if known:
            report = with_holes(report, known)
        pieces = pieces_of(report, flight.elements or range(0), len(flight.stages or ()))
        self._record_report(flight, report, pieces)
        for piece in pieces:
            if flight.stages is not None:
                self._elements_reported(flight, piece, report)
            else:
                self._calls_reported(flight, piece, report)
            if not report.final:
                queue.told(flight, range(piece.first, piece.stop))
        if report.final:
            queue.land(report.batch_id)
            if not flight.is_concurrent:
                self._return_rest(queue, flight, report.stop)
        elif report.reaches is not None:
            self._return_rest(queue, flight, report.reaches)
            flight.cut(report.reaches)
        self._settle()

    def _record_report(
        self, flight: Flight, report: BatchReport, pieces: list[BatchReport]
    ) -> None:
        body = flight.batch.body
        run_id = flight.batch.run.run_id
        outbox = self.outbox
        for piece in pieces:
            if piece.states:
                outbox.records.extend(batch_records(run_id, body, piece))
            if piece.failures or piece.notes or piece.earlier:
                records = attempt_records(run_id, flight.batch, piece)
                retries = retries_of(flight.batch, piece)
                self._record_attempts(flight.graph, records, retries)
        if report.logs:
            outbox.records.extend(log_records(run_id, body, report.logs, flight.log_count))
        if report.records:
            outbox.records.extend(flight.graph.take_records(report.records))
        if report.results:
            results = flight.graph.results
            packs = result_records(results, flight.batch, report.results, self.now_ns())
            outbox.records.extend(packs)

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

    def _return_rest(self, queue: RunnerQueue, flight: Flight, reached: int) -> None:
        """Queue what a batch did not reach."""
        if flight.stages is None:
            self._return_calls(queue, flight.calls[reached:], first=True)
            return
        rest = flight.elements[reached // len(flight.stages) :]
        if rest:
            assert isinstance(flight.work, MapWork)
            for run in reversed(runs_of(rest)):
                queue.add_range(flight.work, run.start, run.stop, first=True)

    def _calls_reported(self, flight: Flight, report: BatchReport, whole: BatchReport) -> None:
        nodes = flight.calls[report.first : report.stop]
        _place_values(nodes, report, whole)
        if report.failures or report.notes or report.names or report.attempts:
            for position, node in enumerate(nodes, report.first):
                code = report.states[position - report.first]
                self._take_call_details(node, code, report, position)
        offset = report.clock_offset_ns
        ended = [each + offset for each in array("q", report.ended)]
        self.outbox.announcements.append(CallsEnded(nodes, report.states, ended))
        for position, (node, code) in enumerate(
            zip(nodes, report.states, strict=True), report.first
        ):
            if code == _AWAITING_RETRY:
                node.aboard = False
                continue
            self._has_ended(node, code)
            if not node.wanted:  # whoever had its future may have let go of it meanwhile
                node.drop_if_unneeded()
            if node.wants_length:
                node.value_length = report.lengths.get(position)
            if node.dependents:
                self._later(partial(self._task_ended, node))

    @staticmethod
    def _has_ended(node: TaskNode, code: int) -> None:
        """What a call needed is not needed for its sake any more."""
        node.code = code
        node.arguments = node.links = None
        if node.upstream:
            _release(node)

    def _take_call_details(
        self, node: TaskNode, code: int, report: BatchReport, position: int
    ) -> None:
        """What a call has that most calls do not have."""
        node.attempt = report.attempts.get(position, node.attempt)
        node.run_name = report.names.get(position, node.run_name)
        node.note = report.notes.get(position)
        if code == _AWAITING_RETRY:
            self._await_retry(node, 0, report, position)
            node.attempt += 1
        else:
            node.failure = report.failures.get(position)

    def _await_retry(
        self, node: TaskNode | MapNode, element: int, report: BatchReport, position: int
    ) -> None:
        self.outbox.retries.append(Retry(node, element, report.delays[position]))

    def _elements_reported(self, flight: Flight, report: BatchReport, whole: BatchReport) -> None:
        stages = flight.stages or []
        width = len(stages)
        ended = array("q", report.ended)
        for number, node in enumerate(stages):
            skipped = (number - report.first) % width  # calls before the first of this stage
            codes = report.states[skipped::width]
            if not codes:
                continue
            first = report.first + skipped
            start = flight.elements[first // width]
            node.segments.append(
                Segment(
                    start,
                    start + len(codes),
                    report.values if flight.kept[number] else None,
                    column_start(whole, flight.kept, number, first),
                    ended[skipped::width],
                    report.clock_offset_ns,
                )
            )
            self._take_details(node, report, number, flight)
            self._elements_ended(node, start, codes)

    def _elements_ended(self, node: MapNode, start: int, codes: bytes) -> None:
        """Elements that had not ended before have ended, or await a retry."""
        waiting = codes.count(_AWAITING_RETRY)
        settled = codes
        if waiting:
            settled = codes.replace(bytes((_AWAITING_RETRY,)), bytes((_PENDING,)))
        node.settled[start : start + len(codes)] = settled
        node.left -= len(codes) - waiting
        self.outbox.announcements.append(ElementsEnded(node, start, codes))
        if node.element_dependents:
            self._tell_element_dependents(node, start, codes)
        for entry in node.aligned_dependents:
            self._tell_aligned(entry, node, start, codes)
        if node.left == 0:
            self._map_ended(node)

    def _take_details(
        self, node: MapNode, report: BatchReport, number: int, flight: Flight
    ) -> None:
        """What elements have that most elements do not have."""
        width = len(flight.stages or ())
        for position, name in report.names.items():
            if position % width == number:
                node.run_names[flight.elements[position // width]] = name
        for position in {*report.failures, *report.notes, *report.attempts}:
            if position % width != number:
                continue
            element = flight.elements[position // width]
            if position in report.attempts:
                node.attempts[element] = report.attempts[position]
            if report.states[position - report.first] == _AWAITING_RETRY:
                node.attempts[element] = report.attempts.get(position, 1) + 1
                self._await_retry(node, element, report, position)
                continue
            if position in report.failures:
                node.failures[element] = report.failures[position]
            if position in report.notes:
                node.notes[element] = report.notes[position]

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
                failure = source.failure_of(element) or _UNKNOWN
                self._element_not_ready(node, element, failure)

    def _element_arrived(self, node: MapNode, element: int) -> None:
        assert node.missing is not None
        node.missing[element] -= 1
        if node.missing[element] == 0 and node.settled[element] == _PENDING:
            self._begin_elements(node, element, element + 1)

    def _task_ended(self, node: TaskNode) -> None:
        dependents, node.dependents = node.dependents or (), None
        failure = None if node.code in GOOD_CODES else node.failure or _UNKNOWN
        for entry in dependents:
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

    # --- what was there already -----------------------------------------------------------------

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
            self._not_ready(node, replace(failure, source=node.name), int(StateCode.FAILED))
        elif answer.places[position] is None:
            node.graph.queue.add_call(node)
        else:
            code = _COMPLETED if answer.is_own[position] else _CACHED
            node.column, node.position = answer.column, answer.numbers[position]
            self._announce_call(node, code)
            self._has_ended(node, code)
            node.drop_if_unneeded()
            if node.dependents:
                self._later(partial(self._task_ended, node))

    def _elements_answered(self, node: MapNode, answer: Answer) -> None:
        now, elements = self.now_ns(), answer.question.elements
        for start, stop, is_there in found_runs(answer, node.settled):
            first = elements[start]
            if not is_there:
                node.graph.queue.add_range(node.work, first, first + stop - start)
                continue
            codes = bytes(_COMPLETED if own else _CACHED for own in answer.is_own[start:stop])
            ended = array("q", (now,)) * (stop - start)
            offset = answer.numbers[start]
            last = first + stop - start
            node.segments.append(Segment(first, last, answer.column, offset, ended, 0))
            self._elements_ended(node, first, codes)
        for position, failure in answer.failures.items():
            element = elements[position]
            named = replace(failure, source=node.element_name(element))
            self._element_not_ready(node, element, named, int(StateCode.FAILED))

    # --- what will not run -----------------------------------------------------------------------

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

    def _announce_call(self, node: TaskNode, code: int) -> None:
        self.outbox.announcements.append(CallsEnded([node], bytes((code,)), [self.now_ns()]))

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
        for start, stop in _pending_ranges(node.settled):
            for element in range(start, stop):
                node.failures[element] = failure
            records = unbegun_records(node, range(start, stop), code, failure)
            self._record_attempts(node.graph, records)
            self._elements_ended(node, start, bytes((code,)) * (stop - start))

    # --- what went wrong -------------------------------------------------------------------------

    def lost(
        self, queue: RunnerQueue, batch_id: int, position: int | None, cause: str, time_up: bool
    ) -> None:
        """The worker of a batch is gone: its calls run again, but for one that keeps killing."""
        flight = queue.land(batch_id)
        if flight is None:
            return
        if flight.stages is not None:
            self._elements_lost(queue, flight, position, cause, time_up)
        else:
            self._calls_lost(queue, flight, position, cause, time_up)
        self._settle()

    def _calls_lost(
        self, queue: RunnerQueue, flight: Flight, position: int | None, cause: str, time_up: bool
    ) -> None:
        lost, culprit = lost_calls(flight, position)
        if culprit is None:
            for node in lost:
                node.alone = position is None  # any of them may be to blame
            self._return_calls(queue, lost, first=True)
            return
        culprit.losses += 1
        verdict = verdict_on(culprit.task, culprit.attempt, culprit.losses, cause, time_up)
        self._return_calls(queue, [node for node in lost if verdict is None or node is not culprit])
        culprit.aboard = False
        if verdict is None:
            return
        if verdict.delay is None:
            self._not_ready(culprit, verdict.failure, verdict.code)
            return
        self._record_lost_attempt(culprit, 0, culprit.attempt, verdict)
        culprit.attempt += 1
        self._announce_call(culprit, _AWAITING_RETRY)
        self.outbox.retries.append(Retry(culprit, 0, verdict.delay))

    def _elements_lost(
        self, queue: RunnerQueue, flight: Flight, position: int | None, cause: str, time_up: bool
    ) -> None:
        work = flight.work
        assert isinstance(work, MapWork)
        lost = lost_elements(flight, position)
        for start, stop in reversed(lost.first):
            queue.add_range(work, start, stop, first=True, alone=lost.is_unknown)
        for start, stop in lost.later:
            queue.add_range(work, start, stop)
        if lost.culprit is not None:
            self._culprit_lost(queue, work, *lost.culprit, cause, time_up)

    def _culprit_lost(
        self,
        queue: RunnerQueue,
        work: MapWork,
        stage: MapNode,
        element: int,
        cause: str,
        time_up: bool,
    ) -> None:
        if stage.settled[element] in ENDED_CODES:
            return
        losses = stage.losses[element] = stage.losses.get(element, 0) + 1
        attempt = stage.attempts.get(element, 1)
        verdict = verdict_on(stage.task, attempt, losses, cause, time_up)
        if verdict is None:
            queue.add_range(work, element, element + 1, alone=True)
        elif verdict.delay is not None:
            self._record_lost_attempt(stage, element, attempt, verdict)
            stage.attempts[element] = attempt + 1
            self.outbox.retries.append(Retry(stage, element, verdict.delay))
        else:
            for before in work.stages[: work.stages.index(stage)]:
                self._element_not_ready(before, element, verdict.failure, verdict.code)
            self._element_not_ready(stage, element, verdict.failure, verdict.code)

    def _record_lost_attempt(
        self, node: TaskNode | MapNode, element: int, attempt: int, verdict: Verdict
    ) -> None:
        """Record an attempt that ended with its worker, and that another one follows."""
        record = lost_attempt_record(node, element, attempt, verdict.code, verdict.failure)
        delay = verdict.delay or 0.0
        self._record_attempts(node.graph, [record], {(node.id, element, attempt): delay})

    def retry(self, retry: Retry) -> None:
        """The delay of a retry is over."""
        node = retry.node
        if isinstance(node, TaskNode):
            if node.code not in ENDED_CODES:
                node.graph.queue.add_call(node)
        elif node.settled[retry.element] not in ENDED_CODES:
            node.graph.queue.add_range(node.work, retry.element, retry.element + 1)

    def cancel(
        self, nodes: Iterable[Node], queue: RunnerQueue, code: int = int(StateCode.CANCELLED)
    ) -> list[int]:
        """End all nodes that have not ended; the ids of batches that are under way for them."""
        nodes = list(nodes)
        error = CancelledRun("The run was cancelled.")
        return self.fail_all(nodes, queue, describe(error), code)

    def fail_all(
        self, nodes: list[Node], queue: RunnerQueue, failure: Failure, code: int
    ) -> list[int]:
        """End all nodes that have not ended with one failure; the batches under way for them."""
        graphs = {id(node.graph) for node in nodes}
        flights = [flight for flight in queue.flights.values() if id(flight.graph) in graphs]
        for work in list(queue.calls.values()):
            kept = [node for node in work.nodes if id(node.graph) not in graphs]
            work.nodes.clear()
            work.nodes.extend(kept)
        queue.drop_maps(graphs)
        for node in reversed(nodes):  # so that none is NotReady because of one before it
            if isinstance(node, TaskNode) and node.code not in ENDED_CODES:
                self._not_ready(node, failure, code)
            elif isinstance(node, MapNode) and node.left != 0:
                if node.length is None:
                    self._map_not_ready(node, failure, code)
                else:
                    self._fail_rest(node, failure, code)
        self._settle()
        for flight in flights:
            queue.land(flight.batch.id)
        return [flight.batch.id for flight in flights]

    def cancel_one(
        self, queue: RunnerQueue, node: TaskNode | MapNode, element: int | None
    ) -> list[Flight] | None:
        """Cancel one task run or one map, and go on with the rest.

        Returns:
            The batches under way that have such calls; None: it had ended before.
        """
        if _has_ended(node, element):
            return None
        failure = describe(CancelledRun(f"Task run {_name(node, element)!r} was cancelled."))
        flights = self._note_cancelled(queue, node, element)
        if isinstance(node, TaskNode):
            queue.drop_call(node)
            self._not_ready(node, failure, int(StateCode.CANCELLED))
        elif element is not None:
            self._element_not_ready(node, element, failure, int(StateCode.CANCELLED))
        elif node.length is None:
            self._map_not_ready(node, failure, int(StateCode.CANCELLED))
        else:
            self._cancel_map(node, failure)
        if isinstance(node, MapNode) and isinstance(node.work, MapWork):
            queue.drop_elements(node.work)
        self._settle()
        return flights

    def _note_cancelled(
        self, queue: RunnerQueue, node: TaskNode | MapNode, element: int | None
    ) -> list[Flight]:
        flights = []
        for flight in queue.flights.values():
            positions = set(positions_of(flight, node, element)) - flight.ended
            if positions:
                flights.append(flight)
                flight.cancelled |= positions
                queue.told(flight, positions)
        return flights

    def _cancel_map(self, node: MapNode, failure: Failure) -> None:
        stages = node.work.stages if isinstance(node.work, MapWork) else node.work
        self._fail_rest(node, failure, int(StateCode.CANCELLED))
        for stage in stages[stages.index(node) + 1 :]:
            self._fail_rest(stage, failure, _NOT_READY)

    def _record_attempts(
        self, graph: FlowGraph, records: list[Any], retries: Mapping[Any, float] = _NOTHING
    ) -> None:
        """Record attempts, and log those that failed."""
        self.outbox.records.extend(records)
        self.outbox.records.extend(self.failure_log.lines_of(graph, records, retries))

    # --- one thing after the other ---------------------------------------------------------------

    def _later(self, step: Callable[[], None]) -> None:
        """Do something after this: chains of consequences are never recursive."""
        self._cascade.append(step)

    def _settle(self) -> None:
        while self._cascade:
            self._cascade.popleft()()


_UNKNOWN = Failure("RuntimeError", "it did not end well", b"", "")


def _has_ended(node: TaskNode | MapNode, element: int | None) -> bool:
    if isinstance(node, TaskNode):
        return node.code in ENDED_CODES
    if element is None or node.length is None:
        return node.left == 0 or node.failure is not None
    return node.settled[element] in ENDED_CODES


def _name(node: TaskNode | MapNode, element: int | None) -> str:
    if isinstance(node, MapNode) and element is not None:
        return node.element_name(element)
    return node.name


def _told_before(flight: Flight, report: BatchReport) -> list[int]:
    """The calls of a report that an earlier one told of, before their worker was lost."""
    if flight.stages is None:
        if not flight.ended:
            return []
        calls = range(report.first, report.stop)
        return [at for at in calls if flight.calls[at].code in ENDED_CODES]
    width = len(flight.stages)
    known: list[int] = []
    for number, node in enumerate(flight.stages):
        calls = range(report.first + (number - report.first) % width, report.stop, width)
        elements = flight.elements[calls.start // width :][: len(calls)]
        settled = _codes_at(node.settled, elements)
        if any(settled):
            known += [at for at, code in zip(calls, settled, strict=True) if code in ENDED_CODES]
    return known


def _codes_at(settled: bytearray, elements: Sequence[int]) -> bytes | bytearray:
    if isinstance(elements, range):
        return settled[elements.start : elements.stop]
    return bytes(settled[element] for element in elements)


def _place_values(nodes: Sequence[TaskNode], report: BatchReport, whole: BatchReport) -> None:
    """Tell calls where their values are: one after the other in a column, but for those dropped."""
    column, place = report.values, report.first - whole.first
    if column is None:
        return
    dropped = whole.dropped
    skipped = bisect_left(dropped, report.first)
    gone = set(dropped[skipped:])
    place -= skipped
    for position, (node, code) in enumerate(zip(nodes, report.states, strict=True), report.first):
        if position in gone:
            continue
        if code in GOOD_CODES:
            node.column, node.position = column, place
        place += 1


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
            return source.failure or _UNKNOWN
    return None


def _pending_ranges(settled: bytearray) -> list[tuple[int, int]]:
    if not any(settled):
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
