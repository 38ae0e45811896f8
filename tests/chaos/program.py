"""The process of the flow: begins a run, or lets one go on.

``python -m tests.chaos.program start FOLDER SIZE LARGE_BYTES RUNNER`` or ``... resume RUN RUNNER``,
where ``RUNNER`` is the name of one, or the address of a Dask scheduler. What came of it is in the
store. On SIGUSR1 it prints where each of its threads is.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
from pathlib import Path

from dataflow import DaskTaskRunner
from dataflow.errors import LimitError
from dataflow.limits import create_limit
from tests.chaos.flows import LIMIT, disturbed


def main(verb: str, *arguments: str) -> None:
    """Begin a run, or let one go on, to its end."""
    faulthandler.register(signal.SIGUSR1)
    *given, runner = arguments
    chosen = DaskTaskRunner(runner) if "://" in runner else runner
    flow = disturbed.with_options(task_runner=chosen)
    if verb == "start":
        folder, size, large_bytes = given
        with contextlib.suppress(LimitError):  # it is there
            create_limit(LIMIT, 1)
        flow(int(size), Path(folder), int(large_bytes), return_state=True)
    else:
        flow.resume(given[0], return_state=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
