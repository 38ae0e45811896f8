"""The process of the flow: ``python -m tests.chaos.program FOLDER SIZE RUNNER``.

``RUNNER`` is the name of one, or the address of a Dask scheduler. What came of it is in the file
``outcome`` of the folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dataflow import DaskTaskRunner
from tests.chaos.flows import disturbed


def main(folder: str, size: str, runner: str) -> None:
    """Run the flow and say how it ended."""
    chosen = DaskTaskRunner(runner) if "://" in runner else runner
    state = disturbed.with_options(task_runner=chosen)(int(size), folder, return_state=True)
    outcome = {"state": state.name, "message": state.message}
    if state.is_completed():
        outcome["result"] = state.result()
    place = Path(folder) / "outcome"
    place.with_suffix(".new").write_text(json.dumps(outcome))
    place.with_suffix(".new").rename(place)


if __name__ == "__main__":
    main(*sys.argv[1:])
