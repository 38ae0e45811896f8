"""What remains for one runner, for those that get larger and smaller with it."""

from __future__ import annotations

from collections.abc import Iterator

from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.works import Work
from dataflow.execution.runner_protocol import Remaining
from dataflow.planner.batch_sizes import MAX_CONCURRENT_BATCH
from dataflow.planner.cost_book import CostBook


def remaining_work(queue: RunnerQueue) -> Remaining:
    """All that waits and all that is under way; it looks at works, not at elements."""
    seconds, elements, unmeasured = 0.0, 0, 0
    for work, count, mean in _parts(queue):
        batches = -(-count // _together(work))
        if mean is None:
            unmeasured += batches
        else:
            elements += batches
            seconds += count * mean
    return Remaining(elements, seconds, unmeasured)


def _parts(queue: RunnerQueue) -> Iterator[tuple[Work, int, float | None]]:
    """Elements or calls of one work, and the mean seconds of each (None: unknown)."""
    for calls in queue.calls.values():
        if calls.nodes:
            yield calls, len(calls.nodes), queue.book.seconds(calls.nodes[0].task.name)
    for work in queue.maps.values():
        yield work, work.left, work.mean_seconds(queue.book)
    for flight in queue.flights.values():
        yield flight.work, _left_of(flight), _mean_of(flight, queue.book)


def _left_of(flight: Flight) -> int:
    """How many elements or calls of a batch have not ended, as far as it has told."""
    size = len(flight.elements or flight.calls)
    return -(-size * (flight.size - len(flight.ended)) // max(flight.size, 1))


def _mean_of(flight: Flight, book: CostBook) -> float | None:
    if flight.stages is not None:
        seconds = [book.seconds(stage.task.name) for stage in flight.stages]
    else:
        seconds = [book.seconds(node.task.name) for node in flight.calls]
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return None
    return sum(known) / (1 if flight.stages is not None else len(known))


def _together(work: Work) -> int:
    """How many elements of a work a worker takes at least, if there are so many."""
    if work.is_concurrent:
        return MAX_CONCURRENT_BATCH
    return work.task.batch_size or 1
