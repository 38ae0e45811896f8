"""Hooks of flows that a killed process has left: called once, by whoever comes after it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow import flow, records, task
from dataflow.cli import main
from dataflow.control import suspend_flow_run
from tests.runners import conftest
from tests.runners.left_behind import kill_when_ready, notes_in, resume
from tests.runners.programs import Program, wait_until

PROGRAM = """
import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from dataflow import flow, task
from dataflow.execution.loop import run_watch

run_watch.BEAT_SECONDS = 0.2  # after which it looks for hooks once more
HOME = Path(os.environ["DATAFLOW_HOME"])
IS_FIRST = not (HOME / "again").exists()
TURNS = HOME / "turns"

def note(line):
    with open(HOME / "told", "a") as file:
        file.write(f"{line}\\n")

def slow(flow, run, state):
    note(f"slow {state.name}")
    if IS_FIRST and state.name == %(where)r:
        print("ready", flush=True)
        time.sleep(60)

def tell(flow, run, state):
    try:
        came = "" if state.is_running() else repr(state.result(raise_on_failure=False))
    except Exception as error:
        came = type(error).__name__
    note(f"{run.name} {run.run_count} {state.name} {came}".strip())

HOOKS = {
    kind: [slow, tell]
    for kind in ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
}

def body():
    if %(where)r == "Failed" and IS_FIRST:
        raise ValueError("bad")
    if %(where)r == "Cancelled" and IS_FIRST:
        signal.raise_signal(signal.SIGTERM)
    if %(where)r == "Retrying" and not (HOME / "tried").exists():
        (HOME / "tried").touch()
        raise ConnectionError("once more")
    return 42

@flow(persist_result=%(keeps)s, retries=int(%(where)r == "Retrying"), flow_run_name="it", **HOOKS)
%(prefix)sdef hooked():
    return body()

@flow
def other():
    print("ready", flush=True)
    time.sleep(60)

def call(flow):
    return asyncio.run(flow()) if "%(prefix)s" and flow is hooked else flow()

if __name__ == "__main__":
    call(hooked if IS_FIRST else other)
"""
Start = Callable[..., Program]


@pytest.fixture
def start(start: conftest.Start, home: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.setenv("DATAFLOW_HOME", str(home))
    monkeypatch.setenv("DATAFLOW_RUNNER", "threads")

    def begin(where: str, keeps: bool = True, prefix: str = "") -> Program:
        source = PROGRAM % {"where": where, "keeps": keeps, "prefix": prefix}
        return start(source, "threads")

    return begin


def _start_again(
    start: Start, where: str, home: Path, run: records.Run, last: str, **options: object
) -> None:
    """Somebody who has the flow calls what was left of a run."""
    again = start(where, **options)
    again.wait_ready()
    wait_until(lambda: notes_in(home)[-1] == last, "nobody has called the hooks")
    wait_until(lambda: not run._store.control.due_hooks(run.id), "they are still to be called")
    again.kill()


BEGUN = ["slow Running", "it 1 Running"]
ENDS = {
    "Completed": "it 1 Completed 42",
    "Failed": "it 1 Failed FailedRun('The run is Failed: Flow run encountered an exception: "
    "ValueError: bad')",
    "Cancelled": "it 1 Cancelled CancelledRun('The run is Cancelled: Flow run was cancelled by "
    "SIGTERM.')",
}


@pytest.mark.parametrize("prefix", ["", "async "], ids=["sync", "async"])
@pytest.mark.parametrize("where", ENDS)
def test_hooks_for_the_end_of_a_flow_outlive_its_process(
    start: Start, home: Path, where: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line sees how the run ended, and knows no flow: the hooks wait."""
    run = kill_when_ready(start(where, prefix=prefix), home)
    assert run.state.name == where
    assert main(["runs", "ls"]) == 0
    assert where in capsys.readouterr().out
    assert notes_in(home) == [*BEGUN, f"slow {where}"]
    _start_again(start, where, home, run, ENDS[where], prefix=prefix)
    assert notes_in(home) == [*BEGUN, f"slow {where}", ENDS[where]]
    assert run.refresh().state.name == where


def test_a_hook_that_was_left_is_told_that_the_result_was_not_kept(
    start: Start, home: Path
) -> None:
    run = kill_when_ready(start("Completed", keeps=False), home)
    _start_again(start, "Completed", home, run, "it 1 Completed ResultMissing")


def test_what_began_and_crashed_is_told_of_in_that_order(start: Start, home: Path) -> None:
    run = kill_when_ready(start("Running"), home)
    assert run.state.is_crashed()
    crashed = f"it 1 Crashed CrashedRun('The run is Crashed: {run.state.message}')"
    _start_again(start, "Running", home, run, crashed)
    assert notes_in(home) == [*BEGUN, "slow Crashed", crashed]


@pytest.mark.parametrize("where", ["Running", "Retrying", "Failed"])
def test_resuming_calls_first_what_was_left(start: Start, home: Path, where: str) -> None:
    run = kill_when_ready(start(where), home)
    count = 1 if where != "Retrying" else 2
    resume(run)
    told = notes_in(home)
    if where == "Failed":
        left = [*BEGUN, "slow Failed", ENDS["Failed"]]
    else:
        message = records.get_run(run.id).states()[-4].message
        crashed = f"it {count} Crashed CrashedRun('The run is Crashed: {message}')"
        left = [*BEGUN, "slow Crashed", crashed]
        if where == "Retrying":
            left[2:2] = ["slow Retrying", "it 2 Retrying"]
    again = ["slow Running", f"it {count + 1} Running", "slow Completed"]
    assert told == [*left, *again, f"it {count + 1} Completed 42"]


def test_nobody_else_calls_the_hooks_of_a_process_that_lives(start: Start, home: Path) -> None:
    program = start("Completed")
    program.wait_ready()
    (run,) = records.runs(flow_name="hooked")
    assert run.state.is_completed()
    (home / "again").touch()
    again = start("Completed")
    again.wait_ready()  # it has looked, as it records that it begins
    assert run._store.control.runs_with_due_hooks() == []
    assert main(["runs", "resume", run.id]) != 0
    program.signal(signal.SIGKILL)
    program.end()
    wait_until(lambda: notes_in(home)[-1] == ENDS["Completed"], "nobody has called the hooks")
    again.kill()


def test_hooks_of_a_suspended_run_that_is_cancelled_are_called_by_the_next_who_has_the_flow(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataflow.execution.loop.run_watch.BEAT_SECONDS", 0.1)
    told: list[str] = []

    @flow(persist_result=True, on_cancellation=[lambda *given: told.append(given[-1].name)])
    def waits() -> None:
        suspend_flow_run()

    @flow
    def other() -> None:
        wait_until(lambda: told == ["Cancelled"], "nobody has called the hook")

    waits(return_state=True)
    (run,) = records.runs(flow_name="waits")
    assert main(["runs", "cancel", run.id]) == 0
    assert told == []
    other()
    assert run._store.control.due_hooks(run.id) == []


def test_a_signal_in_one_hook_takes_nothing_from_the_others(home: Path) -> None:
    told: list[str] = []

    def interrupted(*_given: object) -> None:
        told.append("first")
        raise KeyboardInterrupt

    @flow(on_completion=[interrupted, lambda *_: told.append("second")])
    def hooked() -> None:
        pass

    with pytest.raises(KeyboardInterrupt):
        hooked()
    assert told == ["first", "second"]
    (run,) = records.runs(flow_name="hooked")
    assert run._store.control.due_hooks(run.id) == []
    assert run.driver is None


@task
def calls_a_flow() -> list[str]:
    told: list[str] = []

    @flow(on_running=[lambda *given: told.append(given[-1].name)])
    def inside() -> None:
        pass

    inside.on_completion(lambda *given: told.append(given[-1].name))
    inside()
    return told


def test_hooks_of_flows_inside_workers_are_only_called(runner: str) -> None:
    @flow
    def around() -> list[str]:
        return calls_a_flow.submit().result()

    assert around() == ["Running", "Completed"]
    for run in records.runs():
        assert run._store.control.due_hooks(run.id) == []
