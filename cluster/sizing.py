"""How many workers a cluster should have for the work that remains.

Enough that this work takes about the target duration, and never more than it can be shared out to.
While nobody knows how long its elements take, the cluster doubles each time that what it asked for
has come: elements that were short are measured before that, for long ones it is worth it.
"""

from __future__ import annotations

import math

from dataflow.execution.runner_protocol import Remaining

TARGET_SECONDS = 5.0
_LEAST_SECONDS = 0.001


def target_workers(
    remaining_seconds: float | None,
    remaining_elements: int,
    threads_per_worker: float,
    minimum: int = 0,
    maximum: float = math.inf,
    target_duration: float = TARGET_SECONDS,
    workers: int = 0,
) -> int:
    """How many workers there should be: from ``minimum``, at least, to ``maximum``.

    Args:
        remaining_seconds: what the elements take on one thread, together; None: unknown.
        remaining_elements: how many wait or run.
        threads_per_worker: at least 1; the mean if they differ.
        minimum: even if nothing remains; it wins over ``maximum``.
        maximum: may be infinite.
        target_duration: seconds in which all of it should be done.
        workers: that are there; only matters while ``remaining_seconds`` is unknown.
    """
    most = remaining_elements / threads_per_worker
    if remaining_seconds is None:
        wanted = max(2.0 * workers, 1.0)
    else:
        wanted = remaining_seconds / max(target_duration, _LEAST_SECONDS) / threads_per_worker
    wanted = min(wanted, most, maximum)
    if remaining_elements > 0:
        wanted = max(wanted, min(1.0, maximum))
    return max(math.ceil(wanted), minimum)


def workers_for(
    remaining: Remaining,
    workers: int,
    threads_per_worker: float,
    minimum: int,
    maximum: float,
    target_duration: float,
) -> int:
    """How many workers there should be for all that remains, measured or not."""
    measured = target_workers(
        remaining.seconds, remaining.elements, threads_per_worker, minimum, maximum, target_duration
    )
    unmeasured = target_workers(
        None, remaining.unmeasured, threads_per_worker, minimum, maximum, target_duration, workers
    )
    return max(measured, unmeasured)
