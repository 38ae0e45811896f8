"""Hooks that a killed process has left: called once, by whoever comes after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow.cli import main
from tests.runners import conftest
from tests.runners.left_behind import kill, kill_when_ready, notes_in, resume
from tests.runners.programs import Program, wait_until

PROGRAM = """
import os
import time
from pathlib import Path
from dataflow import flow, task

HOME = Path(os.environ["DATAFLOW_HOME"])
IS_FIRST = not (HOME / "again").exists()

def note(line):
    with open(HOME / "told", "a") as file:
        file.write(f"{line}\\n")

def tell(task, run, state):
    try:
        came = "" if state.is_running() else repr(state.result(raise_on_failure=False))
    except Exception as error:
        came = type(error).__name__
    note(f"{run.name} {run.run_count} {state.name} {came}".strip())

def slow(task, run, state):
    note(f"slow {run.name}")
    time.sleep(60 if IS_FIRST else 0)

def crashed(flow, run, state):
    note(f"flow {state.name}")

@task(on_completion=[slow, tell])
def first():
    return "one"

@task(on_running=[tell], on_completion=[tell, tell])
def number(x):
    return x * 10

@task(on_failure=[tell])
def fails():
    raise ValueError("bad")

@task(on_completion=[slow, tell])
def here():
    return "here"

@flow(on_crashed=[crashed], persist_result=%(keeps)s, fail_on_unhandled=False)
def hooked():
    @task(on_completion=[lambda task, run, state: tell(task, run, state)])
    def local():
        return "local"

    first.submit().wait()
    if IS_FIRST:
        while not (HOME / "told").exists():
            time.sleep(0.01)
    numbers = number.map(range(3))
    others = [fails.submit(), local.submit()]
    numbers.wait()
    for each in others:
        each.wait()
    if IS_FIRST:
        print("ready", flush=True)
        %(then)s

@flow
def other():
    print("ready", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    (hooked if IS_FIRST else other)()
"""
Start = Callable[..., Program]
RUNNERS = ["inline", "threads", "processes", "dask"]
NUMBERS = Counter({f"number-0[{at}] 1 Running": 1 for at in range(3)})
FAILED = "fails-0 1 Failed ValueError('bad')"


@pytest.fixture
def start(start: conftest.Start) -> Start:
    def begin(runner: str, then: str = "time.sleep(60)", keeps: bool = True) -> Program:
        return start(PROGRAM % {"then": then, "keeps": keeps}, runner)

    return begin


def _numbers(came: Callable[[int], str]) -> Counter[str]:
    """What the hooks of the map are told: one when it begins, two when it ends."""
    ends = {f"number-0[{at}] 1 Completed {came(at)}": 2 for at in range(3)}
    return NUMBERS + Counter(ends)


@pytest.mark.parametrize("runner_name", RUNNERS)
def test_resuming_calls_the_hooks_that_were_left(
    start: Start, home: Path, runner_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLOW_HOME", str(home))
    monkeypatch.setenv("DATAFLOW_RUNNER", runner_name)
    run = kill_when_ready(start(runner_name), home)
    assert run.state.is_crashed()
    assert notes_in(home) == ["slow first-0"]
    resume(run)
    told = notes_in(home)
    assert Counter(told) == _numbers(lambda at: str(at * 10)) + Counter(
        {
            "slow first-0": 1,  # it was under way: at most once
            "first-0 1 Completed 'one'": 1,
            FAILED: 2,  # once for what was left, once as it has failed again
            "local-0 1 Completed 'local'": 1,
            "flow Crashed": 1,
        }
    )
    assert told.index("number-0[2] 1 Running") < told.index("number-0[2] 1 Completed 20")


def test_what_is_computed_again_is_told_of_again(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results were not kept, so the hooks that were left get states without them."""
    monkeypatch.setenv("DATAFLOW_HOME", str(home))
    monkeypatch.setenv("DATAFLOW_RUNNER", "threads")
    resume(kill_when_ready(start("threads", keeps=False), home))
    told = Counter(notes_in(home))
    assert told["slow first-0"] == 2
    for at in range(3):
        assert told[f"number-0[{at}] 1 Running"] == 2
        assert told[f"number-0[{at}] 1 Completed {at * 10}"] == 2
        assert told[f"number-0[{at}] 1 Completed ResultMissing"] == 2


@pytest.mark.parametrize("runner_name", ["threads", "processes"])
def test_whoever_has_the_flow_calls_the_hooks_that_were_left(
    start: Start, home: Path, runner_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line finds the run Crashed, and knows no tasks: the hooks wait."""
    run = kill_when_ready(start(runner_name), home)
    assert run.state.is_crashed()
    assert main(["runs", "ls"]) == 0
    assert "Crashed" in capsys.readouterr().out
    assert notes_in(home) == ["slow first-0"]
    again = start(runner_name)
    again.wait_ready()
    wait_until(lambda: "flow Crashed" in notes_in(home), "nobody has called the hooks")
    again.kill()
    told = notes_in(home)
    assert Counter(told) == _numbers(lambda at: str(at * 10)) + Counter(
        {
            "slow first-0": 1,
            "first-0 1 Completed 'one'": 1,
            FAILED: 1,
            "flow Crashed": 1,
        }
    )
    assert told[-1] == "flow Crashed"
    (left,) = run._store.control.due_hooks(run.id)  # that of the task made in the flow
    assert run.element(left.node).task_name == "local"


def test_hooks_of_a_call_in_place_that_were_left(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLOW_HOME", str(home))
    monkeypatch.setenv("DATAFLOW_RUNNER", "threads")
    program = start("threads", "here()")
    program.wait_ready()
    wait_until(lambda: "slow here-0" in notes_in(home), "the hook was not called")
    run = kill(program, home)
    assert run.state.is_crashed()
    assert run.node("here-0").counts == {"Completed": 1}
    again = start("threads")
    again.wait_ready()
    wait_until(lambda: "flow Crashed" in notes_in(home), "nobody has called the hooks")
    told = Counter(notes_in(home))
    assert told["slow here-0"] == told["here-0 1 Completed 'here'"] == 1
