"""What tasks do. Workers import it: a task is a function of a module, as in any project."""

from __future__ import annotations

import time
from typing import Any


def spin(iterations: int, *inputs: int) -> int:
    """Use the CPU for a number of turns; the value depends on every input."""
    for _ in range(iterations):
        pass
    return (1 + sum(inputs)) % 1_000_003


def pause(seconds: float) -> float:
    """Sleep; the seconds that it really took."""
    started = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - started


def rest(seconds: float, *_inputs: float) -> float:
    """Sleep, once all inputs are there."""
    return pause(seconds)


def scheduler_address() -> str:
    """Where the scheduler of the Dask worker is that this runs on."""
    from distributed import get_worker

    worker: Any = get_worker()
    address: str = worker.scheduler.address
    return address
