"""Suspending: a run waits without a process, and goes on in another with what was put in."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel

from dataflow import (
    cancel_flow_run,
    flow,
    pause_flow_run,
    records,
    resume_flow_run,
    suspend_flow_run,
    task,
    transaction,
)
from dataflow.errors import (
    FlowPauseTimeout,
    MissingContextError,
    NotPausedError,
    PausedRun,
    ResumeError,
    RunnerNotFound,
)
from tests.runners.effects import done, note
from tests.runners.programs import ROOT
from tests.runners.stored import run_of


class Answer(BaseModel):
    limit: int
    name: str = "x"


@task
def double(x, place):
    note(place, f"double {x}")
    return 2 * x


@flow(persist_result=True)
def asks(place: str):
    first = double.map([1, 2, 3], place)
    beside = double.submit(10, place)
    answer = suspend_flow_run(wait_for_input=Answer)
    return [*first.result(), beside.result(), double(answer.limit, place), answer.name]


def suspended(whole, *args):
    """Run a flow until it is suspended; its run."""
    state = whole(*args, return_state=True)
    if asyncio.iscoroutine(state):
        state = asyncio.run(state)
    assert state.name == "Suspended"
    assert state.is_paused()
    run = run_of(whole)
    assert run.driver is None
    return run


def test_a_run_goes_on_with_what_was_put_in(runner: str, place: str) -> None:
    run = suspended(asks, place)
    before = done(place)  # all that was submitted
    assert before == Counter(["double 1", "double 10", "double 2", "double 3"])
    assert '"limit"' in (run.state.message or "")
    assert asks.resume(run.id, run_input=Answer(limit=4)) == [2, 4, 6, 20, 8, "x"]
    assert done(place) == before + Counter(["double 4"])
    names = [state.name for state in run_of(asks).states()]
    assert names[-5:] == ["Running", "Suspended", "Resuming", "Running", "Completed"]


def test_a_call_of_the_flow_says_so(runner: str, place: str) -> None:
    with pytest.raises(PausedRun, match="Suspended"):
        asks(place)


def test_each_call_that_suspends_has_its_own_answer(runner: str, place: str) -> None:
    @flow(persist_result=True)
    def whole():
        answers = []
        for number in range(3):
            double(number, place)
            answers.append(suspend_flow_run(wait_for_input=int))
        return answers

    run = suspended(whole)
    for answer in (10, 20):
        state = whole.resume(run.id, run_input=answer, return_state=True)
        assert state.name == "Suspended"
    assert whole.resume(run.id, run_input=30) == [10, 20, 30]
    assert done(place) == Counter(["double 0", "double 1", "double 2"])


def test_what_was_put_in_is_there_after_a_failure(runner: str, place: str) -> None:
    @flow(persist_result=True)
    def whole():
        answer = suspend_flow_run(wait_for_input=int)
        if not Path(place).exists():
            note(place, "failed")
            raise ValueError("the first time")
        return answer

    run = suspended(whole)
    with pytest.raises(ValueError, match="the first time"):
        whole.resume(run.id, run_input=5)
    assert whole.resume(run.id) == 5


def test_what_was_put_in_is_there_when_the_flow_is_tried_again(runner: str, place: str) -> None:
    @flow(persist_result=True, retries=1)
    def whole():
        answers = [suspend_flow_run(wait_for_input=int), double(1, place)]
        if len(done(place)) == 1:
            note(place, "failed")
            raise ValueError("the first time")
        return answers

    run = suspended(whole)
    assert whole.resume(run.id, run_input=5) == [5, 2]
    assert done(place) == Counter(["double 1", "failed"])


def test_async_flows_are_suspended(runner: str, place: str) -> None:
    @flow(persist_result=True)
    async def whole():
        first = double.submit(1, place)
        answer = await suspend_flow_run(wait_for_input=int)
        return [await first, answer]

    run = suspended(whole)
    assert asyncio.run(whole.resume(run.id, run_input=3)) == [2, 3]
    assert done(place) == Counter(["double 1"])


def test_what_does_not_fit_leaves_it_suspended(runner: str, place: str) -> None:
    run = suspended(asks, place)
    state = asks.resume(run.id, run_input={"limit": "many"}, return_state=True)
    assert state.name == "Suspended"
    assert "does not fit" in (state.message or "")
    assert '"limit"' in (state.message or "")
    assert asks.resume(run.id, run_input={"limit": 1})[-2:] == [2, "x"]


def test_without_what_it_asks_for_nothing_begins(place: str) -> None:
    run = suspended(asks.with_options(task_runner="inline"), place)
    states = run.states()
    with pytest.raises(ResumeError, match="nothing was put in") as caught:
        asks.resume(run.id)
    assert "--input" in (caught.value.hint or "")
    assert run_of(asks).states() == states


def test_what_asks_for_nothing_goes_on_without(place: str) -> None:
    @flow(persist_result=True, task_runner="inline")
    def whole():
        return suspend_flow_run(), double(1, place)

    run = suspended(whole)
    assert whole.resume(run.id) == (None, 2)
    with pytest.raises(ResumeError, match="has completed"):
        whole.resume(run.id)


def test_of_many_who_resume_it_one_does(place: str) -> None:
    @flow(persist_result=True, task_runner="inline")
    def whole():
        answer = suspend_flow_run(wait_for_input=int)
        double(answer, place)
        return answer

    run = suspended(whole)
    outcomes: list[object] = []
    together = threading.Barrier(5)

    def resume(number: int) -> None:
        together.wait(60)
        try:
            outcomes.append(whole.resume(run.id, run_input=number))
        except ResumeError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=resume, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (answer,) = [found for found in outcomes if not isinstance(found, ResumeError)]
    assert len(outcomes) == 5
    assert done(place) == Counter([f"double {answer}"])


def test_who_cannot_begin_leaves_it_to_others(place: str) -> None:
    run = suspended(asks.with_options(task_runner="inline"), place)
    with pytest.raises(RunnerNotFound):
        asks.with_options(task_runner="nobody").resume(run.id, run_input={"limit": 1})
    assert asks.with_options(task_runner="inline").resume(run.id, run_input={"limit": 1})


def test_something_put_into_a_run_that_does_not_ask_is_refused(place: str) -> None:
    @flow(persist_result=True, task_runner="inline")
    def whole():
        raise ValueError("it fails")

    whole(return_state=True)
    with pytest.raises(ResumeError, match="asks for nothing"):
        whole.resume(run_of(whole).id, run_input=1)


def test_a_suspension_that_lasted_too_long_fails_the_run(runner: str) -> None:
    @flow(persist_result=True)
    def whole():
        return suspend_flow_run(timeout=0)

    run = suspended(whole)
    with pytest.raises(FlowPauseTimeout, match="within 0 second"):
        whole.resume(run.id)
    assert run_of(whole).state.name == "Failed"
    assert whole.resume(run.id, return_state=True).name == "Suspended"  # it asks once more


def test_results_that_are_not_kept_are_an_error_at_once(runner: str, place: str) -> None:
    @flow
    def whole():
        double.submit(1, place)
        suspend_flow_run()

    with pytest.raises(ResumeError, match="results are not kept") as caught:
        whole()
    assert "persist_result=True" in (caught.value.hint or "")
    assert run_of(whole).state.name == "Failed"


def test_results_in_the_memory_of_the_process_are_an_error(place: str) -> None:
    @flow(persist_result=True, result_storage="memory://kept", task_runner="threads")
    def whole():
        suspend_flow_run()

    with pytest.raises(ResumeError, match="results are not kept"):
        whole()


def test_a_subflow_is_not_suspended(runner: str) -> None:
    @flow
    def inner():
        suspend_flow_run()

    @flow(persist_result=True)
    def outer():
        inner()

    with pytest.raises(MissingContextError, match="subflow"):
        outer()


def test_a_task_does_not_suspend_its_flow(runner: str) -> None:
    @task
    def tries():
        suspend_flow_run()

    @flow(persist_result=True)
    def whole():
        tries.submit().result()

    with pytest.raises(MissingContextError, match="a task cannot"):
        whole()
    with pytest.raises(MissingContextError, match="outside the body"):
        suspend_flow_run()


def test_a_transaction_is_not_rolled_back_for_it(place: str) -> None:
    @flow(persist_result=True, task_runner="inline")
    def whole():
        with transaction():
            suspend_flow_run()

    with pytest.raises(ResumeError, match="transaction"):
        whole()


def test_a_suspended_run_is_cancelled(place: str) -> None:
    run = suspended(asks.with_options(task_runner="inline"), place)
    assert cancel_flow_run(run.id).state.name == "Cancelled"


def test_a_suspended_run_has_no_process_to_be_resumed_in(place: str) -> None:
    run = suspended(asks.with_options(task_runner="inline"), place)
    with pytest.raises(NotPausedError, match="no process") as caught:
        resume_flow_run(run.id, {"limit": 1})
    assert "dataflow runs resume" in (caught.value.hint or "")
    assert run_of(asks).state.name == "Suspended"


def test_who_looks_does_not_take_it_for_crashed(place: str) -> None:
    run = suspended(asks.with_options(task_runner="inline"), place)
    assert [found.id for found in records.runs(state="paused")] == [run.id]
    assert records.runs(state="crashed") == []


def test_pauses_and_suspensions_have_nothing_to_do_with_each_other() -> None:
    @flow(persist_result=True, task_runner="inline")
    def whole():
        with pytest.raises(FlowPauseTimeout):
            pause_flow_run(timeout=0.01)
        return suspend_flow_run(wait_for_input=int)

    run = suspended(whole)
    assert whole.resume(run.id, run_input=2) == 2


PROGRAM = """
from pydantic import BaseModel
from dataflow import flow, suspend_flow_run, task

class Answer(BaseModel):
    limit: int

@task
def count(x):
    with open("calls.txt", "a") as file:
        file.write(f"{x} ")
    return x

@flow(persist_result=True)
def whole(n: int = 3):
    found = count.map(range(n))
    answer = suspend_flow_run(wait_for_input=Answer)
    return sum(found.result()) + answer.limit
"""


def test_the_command_line_starts_it_again_in_another_process(runner: str, tmp_path: Path) -> None:
    (tmp_path / "whole.py").write_text(PROGRAM)

    def command(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [sys.executable, "-m", "dataflow", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert found.returncode == status, found.stdout + found.stderr
        assert "Traceback" not in found.stderr
        return found

    said = command("run", "whole.py", "-p", "n=4").stdout
    (run,) = records.runs(flow_name="whole")
    assert run.state.name == "Suspended"
    assert f"dataflow runs resume {run.name}" in said
    assert "nothing was put in" in command("runs", "resume", run.name, status=1).stderr
    assert "no JSON" in command("runs", "resume", run.name, "--input", "{x", status=2).stderr
    unfit = command("runs", "resume", run.name, "--input", '{"limit": "x"}', status=1)
    assert "does not fit" in unfit.stdout
    ended = command("runs", "resume", run.name, "--input", '{"limit": 5}', "--json").stdout
    assert json.loads(ended)["result"] == 11
    assert sorted((tmp_path / "calls.txt").read_text().split()) == list("0123")
    command("runs", "resume", run.name, "--input", '{"limit": 5}', status=1)
