"""A signal may arrive at any line of ours: each run has an end all the same, and can go on."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.runners.programs import Program

PROGRAM = """
import json, os, signal, sys
from collections import Counter
import dataflow
from dataflow import flow, records, task
from dataflow.execution.control import signals

FOLDER = os.path.dirname(os.path.dirname(dataflow.__file__))
OURS = tuple(os.path.join(FOLDER, name) + os.sep for name in ("dataflow", "runners"))
NUMBER, STEP = signal.Signals({number}), 29
BEFORE = {{signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}}
signal.signal(signal.SIGINT, signal.default_int_handler)
heard = Counter()
calls_left = 0
place = None

def told(flow, run, state):
    heard[run.id, state.name] += 1

@task
def one(x):
    return x

@flow
def below():
    return one(1)

@flow(persist_result=True, on_completion=[told], on_cancellation=[told], on_crashed=[told])
def short():
    return one(0), below(), one.submit(2).result(), one.map([3, 4]).result()

def arrives(frame, event, argument):
    "The signal, at one call of a function of ours."
    global calls_left, place
    if event != "call" or not frame.f_code.co_filename.startswith(OURS):
        return
    ours = signals._signals
    if ours is None or not ours._flows or signal.getsignal(NUMBER) is signal.SIG_DFL:
        return  # there is no flow any more, or not yet: SIGTERM would end the process
    calls_left -= 1
    if calls_left == 0:
        place = frame.f_code.co_filename + ": " + frame.f_code.co_qualname
        sys.setprofile(None)
        signal.raise_signal(NUMBER)

def call(number):
    "Call the flow; how that ended."
    global calls_left, place
    calls_left, place = number, None
    sys.setprofile(arrives)
    try:
        short()
    except (KeyboardInterrupt, SystemExit) as error:
        return type(error).__name__
    finally:
        sys.setprofile(None)
    return "returned"

def flaws(ended, run):
    for number, handler in BEFORE.items():
        if signal.getsignal(number) is not handler:
            yield f"its handler of {{number}} stays"
            signal.signal(number, handler)
    if run is None:
        return
    name = run.state.name
    if name not in (("Completed",) if ended == "returned" else ("Completed", "Cancelled")):
        yield f"it {{ended}}, the run is {{name}}"
        return
    hooks = [name for (run_id, name), count in heard.items() for _ in range(count)]
    if hooks != [name] and (hooks or not run._store.control.due_hooks(run.id)):
        yield f"it is {{name}}, hooks heard {{hooks}}"
    if name != "Completed" and sum(ends.values()) % 2:
        short.resume(run.id)
        below = [each.id for each in run.subflows()]
        nodes = [node for each in (run.id, *below) for node in records.get_run(each).nodes()]
        if any(set(node.counts) != {{"Completed"}} for node in nodes):
            yield f"after it was resumed: {{nodes}}"

short()
found, number, ends, last = [], 1, Counter(), None
while True:
    ended = call(number)
    if place is None:
        break
    newest = records.runs(flow_name="short", limit=1)[0]
    new = newest if newest.id != last else None
    found += [[number, place, flaw] for flaw in flaws(ended, new)]
    heard.clear()
    ends[ended] += 1
    number, last = number + STEP, newest.id
print(json.dumps([found, ends]))
"""


@pytest.mark.parametrize("runner", ["inline", "threads"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_call_of_ours_leaves_a_run_that_has_ended(
    home: Path, runner: str, number: int
) -> None:
    program = Program(PROGRAM.format(number=int(number)), home, runner)
    try:
        status, out, err = program.end(patience_seconds=120)  # it runs the flow fifty times
    finally:
        program.kill()
    assert status == 0, err
    found, ends = json.loads(out.splitlines()[-1])
    assert found == []
    assert ends["KeyboardInterrupt" if number == signal.SIGINT else "SystemExit"] > 20
