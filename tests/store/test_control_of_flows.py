"""Control over runs as a program has it: the same on every database."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from dataflow.limits import create_limit, limits
from dataflow.records import get_run, runs
from dataflow.store.run_store import open_store

PROGRAM = """
import threading
import time
from dataflow import cancel_flow_run, concurrency, flow, pause_flow_run, records
from dataflow import resume_flow_run, suspend_flow_run, task

@task(tags=["gpu"])
def train(number):
    with concurrency("database", strict=True):
        return number

@task
def nap(number):
    time.sleep(60)

@flow(task_runner="processes")
def limited():
    return sum(train.map(range(20)).result())

@flow(task_runner="processes")
def endless():
    nap.map(range(4)).wait()

@flow(task_runner="inline")
def asks():
    return pause_flow_run(wait_for_input=int)

@flow(task_runner="threads", persist_result=True)
def approves():
    return train.submit(4).result() + suspend_flow_run(wait_for_input=int)

def beside(flow, state, act):
    thread = threading.Thread(target=flow, kwargs={"return_state": True})
    thread.start()
    while not records.runs(flow_name=flow.name, state=state):
        time.sleep(0.05)
    act(records.runs(flow_name=flow.name)[0].id)
    thread.join()

if __name__ == "__main__":
    print(limited())
    beside(endless, "running", cancel_flow_run)
    beside(asks, "paused", lambda run_id: resume_flow_run(run_id, 5))
    print(approves(return_state=True).name)
    print(approves.resume(records.runs(flow_name="approves")[0].id, run_input=3))
"""


def test_limits_cancelling_pauses_and_suspensions(place: str, tmp_path: Path) -> None:
    with contextlib.closing(open_store(place)):
        pass
    create_limit("database", 1, store=place)
    create_limit("tag:gpu", 2, store=place)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    changes = {"DATAFLOW_HOME": str(tmp_path / "home"), "DATAFLOW_STORE_URL": place}
    changes |= {"DATAFLOW_WORKERS": "2", "DATAFLOW_LOG_TO_TERMINAL": "0"}
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("190\nSuspended\n7\n", 0), done.stderr
    found = {run.flow_name: get_run(run.id, store=place).state.name for run in runs(store=place)}
    assert found == {
        "limited": "Completed",
        "endless": "Cancelled",
        "asks": "Completed",
        "approves": "Completed",
    }
    assert [(limit.held, limit.waiting) for limit in limits(store=place)] == [(0, 0), (0, 0)]
