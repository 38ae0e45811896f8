"""Ctrl-C, SIGTERM and SIGKILL of a script: a true state in the store, an exit code, no orphans."""

from __future__ import annotations

import signal

import pytest

from dataflow import records
from tests.runners.conftest import Start
from tests.runners.programs import wait_until

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


STUBBORN = """
import ctypes
import os
import signal
import time
from pathlib import Path
from dataflow import flow, task

FOLDER = Path(os.environ["DATAFLOW_HOME"]).parent

def catches_everything(said=""):
    while True:
        try:
            if said:
                print(said, flush=True)
            while True:
                time.sleep(0.01)
        except BaseException:
            said = said and "caught"

def never_leaves_c():
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    while True:
        try:
            print("ready", flush=True)
            lock(mutex)
        except BaseException:
            pass  # it came before that

@task
def works(x):
    (FOLDER / f"begun-{{x}}").touch()
    catches_everything()

@task
def works_here():
    catches_everything("ready")

@task
def quick(x):
    return x

def begun(x):
    while not (FOLDER / f"begun-{{x}}").exists():
        time.sleep(0.01)

def left(flow, run, state):
    print("hook", state.name, flush=True)

@flow(on_cancellation=[left])
def inner():
    catches_everything("ready")

@flow(on_cancellation=[left])
def sleeper():
    quick.map(range(10)).wait()
    {body}

if __name__ == "__main__":
    sleeper()
"""


def test_one_signal_ends_tasks_that_catch_everything(start: Start, pooled: str) -> None:
    body = 'found = works.map(range(2)); begun(0); print("ready", flush=True); found.wait()'
    program = start(STUBBORN.format(body=body), pooled)
    program.wait_ready()
    program.signal(signal.SIGINT, whole_group=True)
    status, out, err = program.end()
    assert status in (130, -signal.SIGINT), err
    run = _run()
    assert [each.name for each in run.states()][-2:] == ["Cancelling", "Cancelled"]
    assert run.node("works-0").counts == {"Cancelled": 2}
    assert out.count("hook Cancelled") == 1
    assert "dataflow/execution" not in err
    wait_until(lambda: not program.processes(), "processes are left over")


FOR_EVER = {
    "body": 'catches_everything("ready")',
    "call": "works_here()",
    "subflow": "inner()",
    "beside tasks": 'works.map(range(2)); begun(0); catches_everything("ready")',
}


@pytest.mark.parametrize(
    ("name", "where"),
    [(name, where) for name in ("threads", "processes", "dask") for where in FOR_EVER]
    + [("inline", where) for where in ("body", "call", "subflow")],
)
def test_the_second_ctrl_c_ends_what_catches_everything(
    start: Start, name: str, where: str
) -> None:
    program = start(STUBBORN.format(body=FOR_EVER[where]), name)
    program.wait_ready()
    program.signal(signal.SIGINT, whole_group=True)
    program.wait_said("caught", times=3)  # it is not raised once only
    wait_until(lambda: _run().state.name == "Cancelling", "it is not being cancelled")
    if where == "beside tasks":
        wait_until(lambda: _run().node("works-0").counts == {"Cancelled": 2}, "its tasks go on")
    program.signal(signal.SIGINT, whole_group=True)
    status, out, err = program.end()
    assert status == 130, err
    run = _run()
    assert run.state.name == "Cancelled"
    assert run.state.message == "Flow run was cancelled by Ctrl-C. It was not waited for."
    assert run.node("quick-0").counts == {"Completed": 10}
    assert out.count("hook Cancelled") == (2 if where == "subflow" else 1)
    ended = f"Cancelled by Ctrl-C, at once. What was done: dataflow runs show {run.name}"
    assert err.splitlines()[-1] == ended
    assert "Traceback" not in err
    wait_until(lambda: not program.processes(), "processes are left over")
    for below in records.runs(flow_name="inner"):
        assert below.state.name == "Cancelled"


def test_a_task_inline_that_catches_everything_is_ended_as_well(start: Start) -> None:
    source = STUBBORN.replace("    catches_everything()", '    catches_everything("ready")')
    program = start(source.format(body="works.map(range(2)).wait()"), "inline")
    program.wait_ready()
    program.signal(signal.SIGINT)
    program.wait_said("caught", times=3)
    program.signal(signal.SIGINT)
    status, _, err = program.end()
    assert status == 130, err
    assert _run().state.name == "Cancelled"
    assert _run().node("works-0").counts == {"Cancelled": 2}


def test_the_second_ctrl_c_ends_what_never_comes_back_from_c(start: Start) -> None:
    program = start(STUBBORN.format(body="never_leaves_c()"), "processes")
    program.wait_ready()
    program.signal(signal.SIGINT)

    def is_over() -> bool:
        program.signal(signal.SIGINT)  # as somebody does who gets impatient
        return program.process.poll() is not None

    wait_until(is_over, "it goes on")
    status, out, err = program.end()
    assert status == 130, err
    assert _run().state.name == "Cancelled"
    assert "hook Cancelled" in out


def test_the_second_sigterm_ends_it_too(start: Start) -> None:
    program = start(STUBBORN.format(body=FOR_EVER["body"]), "threads")
    program.wait_ready()
    program.signal(signal.SIGTERM)
    program.wait_said("caught", times=3)
    program.signal(signal.SIGTERM)
    status, _, err = program.end()
    assert status == 143, err
    assert _run().state.message == "Flow run was cancelled by SIGTERM. It was not waited for."


ASYNC = """
import asyncio
import time
from dataflow import flow, task

@task
def naps(x):
    time.sleep(60)

def left(flow, run, state):
    print("hook", state.name, flush=True)

@flow(on_cancellation=[left], on_crashed=[left])
async def sleeper():
    naps.map(range(4))
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            print("caught", flush=True)
            {then}

if __name__ == "__main__":
    asyncio.run(sleeper())
"""


@pytest.mark.parametrize(
    ("pooled", "number"),
    [
        ("threads", signal.SIGINT),
        ("threads", signal.SIGTERM),
        ("processes", signal.SIGINT),
        ("processes", signal.SIGTERM),
        ("dask", signal.SIGINT),
        ("dask", signal.SIGTERM),
    ],
)
def test_a_signal_cancels_an_async_run(start: Start, pooled: str, number: int) -> None:
    program = start(ASYNC.format(then="raise"), pooled)
    program.wait_ready()
    program.signal(number)
    status, out, err = program.end()
    assert status in ((130, -signal.SIGINT) if number == signal.SIGINT else (143,)), err
    run = _run()
    assert run.state.name == "Cancelled"
    by = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    assert run.state.message == f"Flow run was cancelled by {by}."
    assert [state.name for state in run.states()][-2:] == ["Cancelling", "Cancelled"]
    assert "hook Cancelled" in out
    assert run.node("naps-0").counts == {"Cancelled": 4}
    assert ("Traceback" in err) == (number == signal.SIGINT)
    wait_until(lambda: not program.processes(), "processes are left over")


INTERRUPTED = """
import atexit, os, signal
from dataflow import flow

@flow
def interrupted():
    atexit.register(lambda: exec("after = 1"))  # as a module does that defines a dataclass
    {}

interrupted()
"""


@pytest.mark.parametrize(
    "how", ["os.kill(os.getpid(), signal.SIGINT)", "raise KeyboardInterrupt", "raise ValueError"]
)
def test_the_status_is_that_of_ctrl_c_whatever_is_done_at_the_end(start: Start, how: str) -> None:
    status, _, err = start(INTERRUPTED.format(how), "inline").end()
    assert status == (1 if "ValueError" in how else -signal.SIGINT), err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_wakes_no_event_loop_is_heard(start: Start, number: int) -> None:
    """As one that comes right before the loop waits: here another thread gets it."""
    blocks = "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])\n"
    said = '    print("ready", flush=True)\n'
    source = ASYNC.format(then="raise").replace(said, blocks + said)
    program = start(source.replace("import time", "import signal, time"), "threads")
    program.wait_ready()
    program.signal(number)
    status, out, err = program.end()
    assert "hook Cancelled" in out, err
    assert number == signal.SIGINT or status == 143
    assert _run().state.name == "Cancelled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_an_async_run(start: Start, number: int) -> None:
    program = start(ASYNC.format(then="pass"), "threads")
    program.wait_ready()
    program.signal(number)
    program.wait_said("caught")

    def is_over() -> bool:
        program.signal(number)
        return program.process.poll() is not None

    wait_until(is_over, "it goes on")
    status, _, err = program.end()
    assert status == 128 + number, err
    assert _run().state.name == "Cancelled"
    assert "Traceback" not in err


SEVERAL = """
import asyncio
import time
from dataflow import flow

@flow
async def waits(x):
    try:
        print("ready", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(x / 10)

@flow
async def around(x):
    await waits(x)

@flow
def sleeps():
    print("ready", flush=True)
    time.sleep(60)

@flow
async def calls_a_sync_one():
    sleeps()

@flow
def runs_an_async_one():
    asyncio.run(waits(0))

async def main():
    try:
        await asyncio.gather(waits(2), around(1), waits(0))
    finally:
        print("the end", flush=True)

async def apart():
    flows = [asyncio.create_task(waits(x)) for x in range(3)]
    await asyncio.sleep(60)

{call}
print("it goes on", flush=True)
"""


@pytest.mark.parametrize(
    ("call", "waiting"),
    [
        ("asyncio.run(main())", 3),
        ("asyncio.run(apart())", 3),
        ("asyncio.run(around(0))", 1),
        ("asyncio.new_event_loop().run_until_complete(around(0))", 1),
        ("asyncio.run(calls_a_sync_one())", 1),
        ("runs_an_async_one()", 1),
    ],
)
def test_sigterm_ends_a_process_when_all_its_flows_have_ended(
    start: Start, call: str, waiting: int
) -> None:
    program = start(SEVERAL.format(call=call), "threads")
    program.wait_said("ready", times=waiting)
    program.signal(signal.SIGTERM)
    status, out, err = program.end()
    assert status == 143, err
    assert "it goes on" not in out
    assert "never retrieved" not in err
    assert {run.state.name for run in records.runs()} == {"Cancelled"}
    for run in records.runs():
        assert run.state.message == "Flow run was cancelled by SIGTERM."


CLEANS_UP = """
import time
from dataflow import flow

@flow
def sleeper():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.5)
        print("cleaned up", flush=True)

sleeper()
"""


def test_a_signal_that_is_passed_on_as_well_counts_once(start: Start) -> None:
    program = start(CLEANS_UP, "threads")
    program.wait_ready()
    program.signal(signal.SIGINT)
    program.signal(signal.SIGINT, whole_group=True)
    status, out, err = program.end()
    assert status in (130, -signal.SIGINT), err
    assert "cleaned up" in out
    assert _run().state.message == "Flow run was cancelled by Ctrl-C."


OWN_HANDLER = """
import signal
import time
from dataflow import flow

heard = []

def mine(number, frame):
    heard.append(number)
    print("mine", flush=True)

{outside}

@flow
def sleeper():
    {inside}
    print("ready", flush=True)
    while len(heard) < 2:
        time.sleep(0.01)
    return "done"

assert sleeper() == "done"
assert signal.getsignal(signal.SIGINT) is mine
"""


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_handler_of_the_users_stays(start: Start, where: str) -> None:
    places = {"outside": "", "inside": "", where: "signal.signal(signal.SIGINT, mine)"}
    program = start(OWN_HANDLER.format(**places), "threads")
    program.wait_ready()
    for _ in range(2):
        program.signal(signal.SIGINT)
        program.wait_said("mine")
    status, _, err = program.end()
    assert status == 0, err
    assert _run().state.name == "Completed"


HANDLERS = """
import multiprocessing
import signal
from dataflow import flow

def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

def in_fork(before):
    assert handlers() == before
    assert signal.set_wakeup_fd(-1) == -1

@flow
def inner(before):
    assert handlers() != before

@flow
def sleeper(before):
    assert handlers() != before
    inner(before)
    assert handlers() != before
    child = multiprocessing.get_context("fork").Process(target=in_fork, args=(before,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert handlers() != before

before = handlers()
sleeper(before)
assert handlers() == before
assert signal.set_wakeup_fd(-1) == -1
"""


def test_handlers_are_there_while_a_flow_runs_and_in_no_fork_of_it(start: Start) -> None:
    status, _, err = start(HANDLERS, "threads").end()
    assert status == 0, err
    assert _run().state.name == "Completed"


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
    wait_until(lambda: not program.processes(), "processes are left over")
    assert _run().state.name == "Completed"


def test_an_exception_ends_a_script_with_1(start: Start, pooled: str) -> None:
    source = SLEEPS.replace("time.sleep(60)", 'raise ValueError("bad")').format(wait="pass")
    program = start(source, pooled)
    status, _, err = program.end()
    assert status == 1
    assert "UnhandledTaskFailure" in err
    assert 'raise ValueError("bad")' in err
    wait_until(lambda: not program.processes(), "processes are left over")
