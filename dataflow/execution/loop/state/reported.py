"""What came back: batches that are done, and parts of them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

from dataflow.execution.announcements import CallsEnded
from dataflow.execution.loop.learning import learn
from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.report_pieces import column_start, pieces_of, with_holes
from dataflow.execution.loop.result_records import result_records
from dataflow.execution.loop.state.consequences import Consequences
from dataflow.execution.loop.state.outbox import Retry
from dataflow.execution.loop.works import MapWork
from dataflow.execution.records_of import attempt_records, batch_records, log_records, retries_of
from dataflow.graph.nodes import ENDED_CODES, GOOD_CODES, MapNode, Segment, TaskNode
from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode, codes_of_stage
from dataflow.planner.bodies import runs_of

_AWAITING_RETRY = int(StateCode.AWAITING_RETRY)


class Reported(Consequences):
    """Takes in the reports of batches."""

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
        ended = memoryview(report.ended).cast("q")  # all stages see the bytes that are recorded
        for number, node in enumerate(stages):
            skipped = (number - report.first) % width  # calls before the first of this stage
            codes = codes_of_stage(report.states, skipped, width)
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
        if settled != bytes(len(settled)):  # as any() says, in no time
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
