"""What was lost with its worker, and runs again, but for calls that keep killing."""

from __future__ import annotations

from dataflow.execution.loop.losses import Verdict, lost_calls, lost_elements, verdict_on
from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.state.consequences import Consequences
from dataflow.execution.loop.state.outbox import Retry
from dataflow.execution.loop.works import MapWork
from dataflow.execution.records_of import lost_attempt_record
from dataflow.graph.nodes import ENDED_CODES, MapNode, TaskNode
from dataflow.model.states import StateCode

_AWAITING_RETRY = int(StateCode.AWAITING_RETRY)


class Lost(Consequences):
    """Takes in that workers are gone."""

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
                node.alone |= position is None  # any of them may be to blame
            self._return_calls(queue, lost, first=True)
            return
        culprit.losses += 1
        culprit.alone = True
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
            alone = lost.is_unknown or flight.batch.suspect
            queue.add_range(work, start, stop, first=True, alone=alone)
        for start, stop in lost.later:
            queue.add_range(work, start, stop, alone=flight.batch.suspect)
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
