"""Waiting that ends: what does not come in time is named, and what it waits for."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chaos.evidence import Recorded
from tests.chaos.victims import Started

_LOOK_SECONDS = 0.004
_TELL_SECONDS = 2.0


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for something for so long at most; whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def what_it_waits_for(program: Started, recorded: Recorded, log: Path) -> Iterator[str]:
    """Of a flow's process that goes on and on: what has not ended, and where its threads are.

    Args:
        program: the process; it prints that on SIGUSR1.
        recorded: what the store has of the run.
        log: where the process prints.
    """
    for run in recorded.runs.values():
        for node in run.nodes():
            count = (node.length or 0) if node.kind == "map" else 1
            if node.recorded < count:
                yield f"{node.name} of {run.flow_name}: {node.recorded} of {count} have ended"
    size = log.stat().st_size
    with contextlib.suppress(ProcessLookupError):
        os.kill(program.process.pid, signal.SIGUSR1)
    wait_until(lambda: log.stat().st_size > size, _TELL_SECONDS)
    time.sleep(0.2)
    with log.open("rb") as file:
        file.seek(size)
        yield f"its threads:\n{file.read().decode(errors='replace')}"
