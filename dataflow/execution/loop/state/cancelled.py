"""What was cancelled: a whole run, one task run, or one map."""

from __future__ import annotations

from collections.abc import Iterable

from dataflow.errors import CancelledRun
from dataflow.execution.loop.cancelling import positions_of
from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.state.consequences import Consequences
from dataflow.execution.loop.works import MapWork
from dataflow.graph.nodes import ENDED_CODES, MapNode, Node, TaskNode
from dataflow.model.batches import Failure
from dataflow.model.states import StateCode
from dataflow.worker.failures import describe

_CANCELLED = int(StateCode.CANCELLED)
_NOT_READY = int(StateCode.NOT_READY)


class Cancelled(Consequences):
    """Takes in what nobody wants any more."""

    def cancel(
        self, nodes: Iterable[Node], queue: RunnerQueue, code: int = _CANCELLED
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
        if _is_over(node, element):
            return None
        failure = describe(CancelledRun(f"Task run {_name(node, element)!r} was cancelled."))
        flights = self._note_cancelled(queue, node, element)
        if isinstance(node, TaskNode):
            queue.drop_call(node)
            self._not_ready(node, failure, _CANCELLED)
        elif element is not None:
            self._element_not_ready(node, element, failure, _CANCELLED)
        elif node.length is None:
            self._map_not_ready(node, failure, _CANCELLED)
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
        self._fail_rest(node, failure, _CANCELLED)
        for stage in stages[stages.index(node) + 1 :]:
            self._fail_rest(stage, failure, _NOT_READY)


def _is_over(node: TaskNode | MapNode, element: int | None) -> bool:
    if isinstance(node, TaskNode):
        return node.code in ENDED_CODES
    if element is None or node.length is None:
        return node.left == 0 or node.failure is not None
    return node.settled[element] in ENDED_CODES


def _name(node: TaskNode | MapNode, element: int | None) -> str:
    if isinstance(node, MapNode) and element is not None:
        return node.element_name(element)
    return node.name
