"""A process that drives a run is killed: how long until who looks sees that it has crashed."""

from __future__ import annotations

import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import Rival

WARM = False

_PROGRAM = """
import time
from dataflow import flow

@flow(task_runner="inline")
def stays():
    print("begun", flush=True)
    time.sleep(600)

stays()
"""


def run(rival: Rival, n: int) -> dict[str, float]:
    """`n` is how many runs are killed, one after the other; the longest counts."""
    rival.load()
    return {"seconds": max(_seconds() for _ in range(n))}


def _seconds() -> float:
    from dataflow import records

    program = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"begun", "the run has not begun"
        (run,) = records.runs(state="running")
        process.kill()
        killed = time.perf_counter()
        while records.get_run(run.id).state.name != "Crashed":
            assert time.perf_counter() - killed < 60, "nobody sees that it has crashed"
            time.sleep(0.01)
        return time.perf_counter() - killed
