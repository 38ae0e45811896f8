"""Which calls of the batches under way are meant, when task runs are cancelled.

A cancelled call ends at once as far as anyone is told. A worker that has been given it cannot be
told so, but may be ended: that is done when nothing else of its batch is left, or when it turns out
to be just at that call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataflow.execution.loop.queues import Flight
from dataflow.graph.nodes import MapNode, TaskNode


def positions_of(flight: Flight, node: TaskNode | MapNode, element: int | None) -> Sequence[int]:
    """The calls of a batch that end with a task run, or with a map: it, and what is fused to it."""
    if flight.stages is None:
        return [at for at, call in enumerate(flight.calls) if call is node]
    if node not in flight.stages:
        return ()
    width, first = len(flight.stages), flight.stages.index(node)
    elements: Iterable[int] = range(len(flight.elements))
    if element is not None:
        elements = (at for at, each in enumerate(flight.elements) if each == element)
    return [at * width + stage for at in elements for stage in range(first, width)]


def is_wasted(flight: Flight) -> bool:
    """Whether nothing is left of a batch but what has been cancelled."""
    if not flight.cancelled:
        return False
    return len(flight.ended | flight.cancelled) >= flight.size


def is_stuck(flight: Flight) -> bool:
    """Whether a batch is at a call that was cancelled, as far as it has told."""
    told = flight.ended - flight.cancelled
    at = next((at for at in range(flight.size) if at not in told), None)
    return at in flight.cancelled and not flight.is_concurrent
