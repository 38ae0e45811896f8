"""Pausing: a run waits until somebody resumes it, with what it asks for."""

from __future__ import annotations

import asyncio
import threading
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
)
from dataflow.cli import main
from dataflow.errors import (
    DefinitionError,
    FlowPauseTimeout,
    MissingContextError,
    NotPausedError,
    ResumeError,
)
from tests.runners.programs import wait_until
from tests.runners.stored import run_of

pytestmark = pytest.mark.usefixtures("home")


class Answer(BaseModel):
    limit: int
    name: str = "x"


@task
def add_one(x):
    return x + 1


@pytest.fixture(params=["inline", "processes"])
def runner_of_pauses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATAFLOW_RUNNER", request.param)
    return str(request.param)


def begin(whole):
    """Run a flow in a thread until it is paused; gives what waits for what comes of it."""
    outcome = []

    def call() -> None:
        try:
            outcome.append(asyncio.run(whole()) if whole.kind == "async" else whole())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    wait_until(lambda: _state(whole) == "Paused", "it is not paused")

    def result():
        thread.join(60)
        assert not thread.is_alive()
        return outcome[0]

    return result


def _state(whole) -> str | None:
    from dataflow import records

    found = records.runs(flow_name=whole.name)
    return found[0].state.name if found else None


def test_a_run_waits_until_it_is_resumed(runner_of_pauses: str) -> None:
    @flow
    def whole():
        before = add_one.submit(1)
        assert pause_flow_run() is None
        return before.result() + add_one.submit(1).result()

    result = begin(whole)
    assert resume_flow_run(run_of(whole).id).state.name in ("Resuming", "Running", "Completed")
    assert result() == 4
    names = [state.name for state in run_of(whole).states()]
    assert names[1:] == ["Running", "Paused", "Resuming", "Running", "Completed"]
    with pytest.raises(NotPausedError, match="it is Completed"):
        resume_flow_run(run_of(whole).id)


def test_what_it_asks_for_is_put_in(runner_of_pauses: str) -> None:
    @flow
    def whole():
        return pause_flow_run(wait_for_input=Answer)

    result = begin(whole)
    assert '"limit"' in (run_of(whole).state.message or "")
    resume_flow_run(run_of(whole).id, Answer(limit=3))
    assert result() == Answer(limit=3)


def test_what_does_not_fit_leaves_it_paused(capsys: pytest.CaptureFixture[str]) -> None:
    @flow(task_runner="inline")
    def whole():
        return pause_flow_run(wait_for_input=Answer)

    result = begin(whole)
    name = run_of(whole).name
    assert main(["runs", "resume", name, "--input", '{"limit": "many"}']) == 1
    assert "limit" in capsys.readouterr().err
    assert main(["runs", "resume", name]) == 1
    assert "nothing was put in" in capsys.readouterr().err
    assert main(["runs", "resume", name, "--input", "{limit"]) == 2
    assert "no JSON" in capsys.readouterr().err
    assert main(["runs", "resume", name, "--input", '{"limit": 5, "name": "y"}']) == 0
    assert name in capsys.readouterr().out
    assert result() == Answer(limit=5, name="y")
    assert main(["runs", "resume", name, "--input", "{}"]) == 1
    assert "is not paused" in capsys.readouterr().err


def test_a_paused_run_is_not_begun_again_beside_itself() -> None:
    @flow(task_runner="inline")
    def whole():
        pause_flow_run()
        return "once"

    result = begin(whole)
    with pytest.raises(ResumeError, match="still Paused") as caught:
        whole.resume(run_of(whole).id)
    assert "resume_flow_run" in (caught.value.hint or "")
    resume_flow_run(run_of(whole).id)
    assert result() == "once"


def test_a_pause_that_lasts_too_long_fails_the_run() -> None:
    @flow(task_runner="inline")
    def whole():
        pause_flow_run(timeout=0.05)

    with pytest.raises(FlowPauseTimeout, match=r"within 0\.05 second"):
        whole()
    assert run_of(whole).state.name == "Failed"


def test_a_paused_run_is_cancelled(runner_of_pauses: str) -> None:
    @flow
    def whole():
        pause_flow_run()

    result = begin(whole)
    cancel_flow_run(run_of(whole).id)
    result()
    assert run_of(whole).state.name == "Cancelled"


def test_async_flows_are_paused_on_their_event_loop(runner_of_pauses: str) -> None:
    @flow
    async def whole():
        answer, _ = await asyncio.gather(
            pause_flow_run(wait_for_input=int, timeout=30), asyncio.sleep(0)
        )
        return answer

    result = begin(whole)
    resume_flow_run(run_of(whole).id, 7)
    assert result() == 7


def test_only_the_body_of_a_flow_can_be_paused(tmp_path: Path) -> None:
    @task
    def pauses():
        pause_flow_run()

    @flow(task_runner="threads")
    def whole():
        pauses.submit().result()

    with pytest.raises(MissingContextError, match="outside the body"):
        pause_flow_run()
    with pytest.raises(MissingContextError, match="a task cannot"):
        whole()


@pytest.mark.parametrize("of", [pause_flow_run, suspend_flow_run])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"timeout": -5}, "timeout must be"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": "an hour"}, "timeout must be"),
        ({"wait_for_input": "brisk-otter"}, "wait_for_input must be a model"),
        ({"wait_for_input": 5}, "wait_for_input must be a model"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_the_run_waits(of, given, said) -> None:
    @flow(task_runner="inline", persist_result=True)
    def asks():
        of(**given)

    with pytest.raises(DefinitionError, match=said):
        asks()
    (run,) = records.runs(flow_name="asks")
    assert not any(state.is_paused() for state in run.states())
