"""Runs of other processes: cancelled from outside, and Crashed when their process is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow import flow, records
from dataflow.cli import main
from tests.runners import conftest
from tests.runners.programs import Program, wait_until

PROGRAM = """
import os
import time
from dataflow import flow, task

def say(line):
    print(line + "\\n", end="", flush=True)  # at once: a hook's thread prints, too

@task
def naps(x):
    time.sleep(float(os.environ.get("NAPS", "60")))

@task
def quick(x):
    return x

def left(flow, run, state):
    say(f"hook {{run.name}} {{state.name}}")
    time.sleep(0.3)
    with open(f"{{os.environ['DATAFLOW_HOME']}}/hooks", "a") as file:
        file.write(f"{{run.name}} {{state.name}}\\n")

@flow
def inner():
    naps.map(range(4))
    say("ready")
    {body}

@flow(on_cancellation=[left], on_crashed=[left])
def outer():
    quick.map(range(10)).wait()
    inner()

if __name__ == "__main__":
    try:
        {call}
    finally:
        print("the end")
"""
Start = Callable[..., Program]


@pytest.fixture
def start(start: conftest.Start) -> Start:
    def begin(
        runner: str,
        body: str = "time.sleep(60)",
        call: str = "print(outer(return_state=True).name)",
    ) -> Program:
        return start(PROGRAM.format(body=body, call=call), runner)

    return begin


def _run(name: str) -> records.Run:
    (run,) = records.runs(flow_name=name)
    return run


@pytest.mark.parametrize(
    ("runner_name", "body"),
    [
        ("processes", "time.sleep(60)"),
        ("processes", "naps.map(range(4)).result()"),
        ("threads", "naps.map(range(4)).result()"),
        ("inline", "naps.submit(1)"),
        ("dask", "time.sleep(60)"),
    ],
)
def test_a_run_is_cancelled_by_the_command_line(
    start: Start, runner_name: str, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = body if runner_name != "inline" else "pass"
    program = start(runner_name, source)
    if runner_name == "inline":
        wait_until(lambda: bool(records.runs(flow_name="inner")), "it did not begin")
    else:
        program.wait_ready()
    assert main(["runs", "cancel", _run("outer").name, "--wait"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1].endswith("is Cancelled.")
    status, out, err = program.end()
    assert status == 0, err
    assert out.splitlines()[-3:] == [f"hook {_run('outer').name} Cancelled", "Cancelled", "the end"]
    for name in ("outer", "inner"):
        run = _run(name)
        assert run.state.name == "Cancelled"
        assert f"process {os.getpid()}" in (run.state.message or "")
    assert [state.name for state in _run("outer").states()][-2:] == ["Cancelling", "Cancelled"]
    wait_until(lambda: not program.processes(), "processes are left over")
    assert main(["runs", "cancel", _run("outer").name]) == 1
    assert "has ended" in capsys.readouterr().err


def test_ctrl_c_twice_ends_at_once(start: Start) -> None:
    body = "\n    ".join(
        [
            "try:",
            '    print("sleeping", flush=True)',
            "    time.sleep(60)",
            "finally:",
            '    print("cleaning", flush=True)',
            "    time.sleep(60)",
        ]
    )
    program = start("processes", body)
    program.wait_ready()
    assert program.process.stdout is not None
    assert program.process.stdout.readline().strip() == "sleeping"
    program.signal(signal.SIGINT, whole_group=True)
    assert program.process.stdout.readline().strip() == "cleaning"

    def is_over() -> bool:
        program.signal(signal.SIGINT, whole_group=True)  # two that are very close count once
        return program.process.poll() is not None

    wait_until(is_over, "it goes on")
    status, _, err = program.end()
    assert status == 130, err
    assert _run("outer").state.name == "Cancelled"
    assert _run("inner").state.name == "Cancelled"
    wait_until(lambda: not program.processes(), "processes are left over")


@pytest.mark.parametrize("runner_name", ["threads", "processes"])
def test_runs_of_a_killed_process_are_crashed(start: Start, runner_name: str) -> None:
    program = start(runner_name)
    program.wait_ready()
    assert _run("outer").state.name == "Running"
    program.signal(signal.SIGKILL)
    program.end()
    for name in ("inner", "outer"):
        run = _run(name)
        assert run.state.name == "Crashed"
        assert f"({program.process.pid} on " in (run.state.message or "")
        assert [state.name for state in run.states()].count("Crashed") == 1
    assert run.node("quick-0").counts == {"Completed": 10}


def test_a_stopped_process_has_not_vanished(start: Start) -> None:
    program = start("threads")
    program.wait_ready()
    program.signal(signal.SIGSTOP)
    assert _run("outer").state.name == "Running"


def test_hooks_of_a_crashed_run_are_called_once_by_the_next_who_knows_the_flow(
    start: Start, home: Path
) -> None:
    program = start("threads")
    program.wait_ready()
    program.signal(signal.SIGKILL)
    program.end()
    crashed = _run("outer")
    assert crashed.state.name == "Crashed"

    @flow
    def other():
        return 1

    assert other() == 1  # it finds nothing to call
    again = start("threads", "pass")
    again.wait_ready()
    wait_until(
        lambda: any("hooks are called" in line.message for line in crashed.logs()),
        "nobody called the hooks",
    )
    again.signal(signal.SIGINT)
    again.end()
    called = (home / "hooks").read_text().splitlines()
    assert called.count(f"{crashed.name} Crashed") == 1
    assert sum("hooks are called" in line.message for line in crashed.logs()) == 1


def test_hooks_of_a_crashed_run_that_goes_on_at_once_are_told_of_the_crash(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = start("threads")
    program.wait_ready()
    program.signal(signal.SIGKILL)
    program.end()
    monkeypatch.setenv("NAPS", "0")  # it ends before its slow hook, and waits for that
    (run,) = records.runs(flow_name="outer")
    again = start("threads", "pass", f"outer.resume({run.id!r})")
    status, _, err = again.end()
    assert status == 0, err
    names = [state.name for state in _run("outer").states()]
    assert names[-4:] == ["Crashed", "Resuming", "Running", "Completed"]
    assert (home / "hooks").read_text().splitlines() == [f"{run.name} Crashed"]


def test_a_run_that_is_not_there_cannot_be_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "cancel", "no-such-run"]) == 2
    assert "no-such-run" in capsys.readouterr().err
