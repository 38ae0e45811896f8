"""What is under way at this moment, for whoever wants to show it; asking costs a run nothing."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.execution.loop.process_loop import loop_if_any
from dataflow.execution.loop.queues import Flight, RunnerQueue


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Calls of one node that run now; ``node`` is None for single calls of a task."""

    run_id: str
    node: int | None
    task_name: str
    count: int


def calls_under_way() -> list[UnderWay]:
    """The calls that run now on the runners of this process.

    An estimate: a batch runs one call at a time (all of them if the task is ``async``), and what a
    runner has beyond its slots waits.
    """
    loop = loop_if_any()
    if loop is None:
        return []
    return [each for queue in list(loop.queues.values()) for each in _of_queue(queue)]


def _of_queue(queue: RunnerQueue) -> list[UnderWay]:
    if not queue.flights:
        return []
    flights = list(queue.flights.values())[: queue.runner.slots + queue.blocked]
    return [each for flight in flights for each in _of_flight(flight)]


def _of_flight(flight: Flight) -> list[UnderWay]:
    together = flight.work.task.kind.startswith("async")
    run_id = flight.batch.run.run_id
    if flight.stages is not None:
        count = len(flight.elements) if together else 1
        return [UnderWay(run_id, stage.id, stage.task.name, count) for stage in flight.stages]
    names = dict.fromkeys(node.task.name for node in flight.calls)
    count = len(flight.calls) if together else 1
    return [UnderWay(run_id, None, name, count) for name in names]
