"""Ctrl-C, SIGTERM and SIGKILL of a script: a true state in the store, an exit code, no orphans."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataflow import records
from tests.runners.programs import Program, wait_until

SLEEPS = """
import time
from dataflow import flow, task

@task
def naps(x):
    time.sleep(60)

@task
def quick(x):
    return x

def left(flow, run, state):
    print("hook", state.name, flush=True)

@flow(on_cancellation=[left], on_crashed=[left])
def sleeper():
    quick.map(range(10)).wait()
    naps.map(range(10))
    naps.submit(1)
    print("ready", flush=True)
    if __name__ == "__main__":
        {wait}

sleeper()
"""
Start = Callable[..., Program]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts programs, and ends them after the test."""
    started: list[Program] = []

    def begin(source: str, runner: str) -> Program:
        program = Program(source, home, runner)
        started.append(program)
        return program

    yield begin
    for program in started:
        program.kill()


@pytest.fixture(params=["threads", "processes", "dask"])
def pooled(request: pytest.FixtureRequest) -> str:
    """The runners whose tasks run beside the body."""
    name: str = request.param
    return name


def _run() -> records.Run:
    (run,) = records.runs(flow_name="sleeper")
    return run


BODIES = {"in the body": "time.sleep(60)", "after the body": "pass"}


@pytest.mark.parametrize(
    ("pooled", "where"),
    [(runner, where) for runner in ("threads", "processes") for where in BODIES]
    + [("dask", "after the body")],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_run(start: Start, pooled: str, number: int, where: str) -> None:
    program = start(SLEEPS.format(wait=BODIES[where]), pooled)
    program.wait_ready()
    program.signal(number, whole_group=number == signal.SIGINT)
    status, out, err = program.end()
    assert status in ((130, -signal.SIGINT) if number == signal.SIGINT else (143,)), err
    run = _run()
    assert run.state.name == "Cancelled"
    assert ("SIGTERM" if number == signal.SIGTERM else "Ctrl-C") in (run.state.message or "")
    assert "hook Cancelled" in out
    quick, mapped, single = run.nodes()
    assert quick.counts == {"Completed": 10}
    assert mapped.counts == {"Cancelled": 10}
    assert single.counts == {"Cancelled": 1}
    wait_until(lambda: not program.processes(), "processes are left over")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_an_inline_run(start: Start, number: int) -> None:
    source = SLEEPS.replace("def naps(x):", 'def naps(x):\n    print("ready", flush=True)')
    program = start(source.format(wait="pass"), "inline")
    program.wait_ready()
    program.signal(number)
    status, _, err = program.end()
    assert status in ((130, -signal.SIGINT) if number == signal.SIGINT else (143,)), err
    run = _run()
    assert run.state.name == "Cancelled"
    assert run.node("quick-0").counts == {"Completed": 10}


def test_no_worker_survives_a_killed_script(start: Start, pooled: str) -> None:
    program = start(SLEEPS.format(wait="time.sleep(60)"), pooled)
    program.wait_ready()
    if pooled != "threads":
        wait_until(lambda: len(program.processes()) > 1, "no workers were started")
    program.signal(signal.SIGKILL)
    assert program.end()[0] == -signal.SIGKILL
    wait_until(lambda: not program.processes(), "workers are left over")
    assert _run().state.name == "Crashed"  # whoever looks finds out


def test_a_script_that_ends_leaves_no_processes(start: Start, pooled: str) -> None:
    source = SLEEPS.replace("time.sleep(60)", "return x").format(wait="pass")
    program = start(source, pooled)
    status, _, err = program.end()
    assert status == 0, err
    assert not program.processes()
    assert _run().state.name == "Completed"


def test_an_exception_ends_a_script_with_1(start: Start, pooled: str) -> None:
    source = SLEEPS.replace("time.sleep(60)", 'raise ValueError("bad")').format(wait="pass")
    program = start(source, pooled)
    status, _, err = program.end()
    assert status == 1
    assert "UnhandledTaskFailure" in err
    assert 'raise ValueError("bad")' in err
    assert not program.processes()
