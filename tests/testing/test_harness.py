"""The harness gives a test a place of its own, and leaves nothing behind."""

from __future__ import annotations

import builtins
import gc
import os
import threading
import time
from pathlib import Path

import pytest

from dataflow import Variable, flow, records, runtime, task
from dataflow.artifacts import create_markdown_artifact
from dataflow.errors import DefinitionError, RunnerNotFound, SettingsError
from dataflow.execution import runner_choice
from dataflow.execution.loop import process_loop
from dataflow.settings import get_settings
from dataflow.store.store_places import find_place
from dataflow.testing import dataflow_test_harness, keep_pools
from dataflow.testing import harness as harness_module


@task
def double(x: int) -> int:
    return 2 * x


@task
def pid(_: int) -> int:
    return os.getpid()


@flow
def doubled(count: int) -> list[int]:
    return double.map(range(count)).result()


@flow(task_runner="processes")
def pids() -> list[int]:
    return pid.map(range(4)).result()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("DATAFLOW_")}


def test_a_flow_runs_in_a_home_of_its_own_that_goes() -> None:
    with dataflow_test_harness() as harness:
        assert doubled(3) == [0, 2, 4]
        assert get_settings().home == harness.home
        run = harness.run(doubled)
        assert run.summary.runner == "inline"
        assert harness.run() == harness.run("doubled") == run
        assert harness.runs(doubled, state="failed") == []
        assert Path(str(find_place())).is_relative_to(harness.home)
    assert not harness.home.exists()


def test_a_home_that_was_given_stays(tmp_path: Path) -> None:
    with dataflow_test_harness(home=tmp_path / "home"):
        doubled(1)
    assert len(records.runs(store=tmp_path / "home" / "dataflow.db")) == 1


def test_the_only_run_has_to_be_the_only_one() -> None:
    with dataflow_test_harness() as harness:
        with pytest.raises(AssertionError, match="not one run but 0"):
            harness.run(doubled)
        doubled(1)
        doubled(1)
        with pytest.raises(AssertionError, match="not one run but 2"):
            harness.run(doubled)


def test_the_runner_is_everybodys() -> None:
    with dataflow_test_harness():
        assert set(pids()) == {os.getpid()}
    with dataflow_test_harness("threads") as harness:
        pids()
        assert harness.run(pids).summary.runner == "threads"
    with dataflow_test_harness(None):
        assert os.getpid() not in pids()


def test_settings_are_those_that_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLOW_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("DATAFLOW_STORE_URL", "sqlite:////nowhere/runs.db")
    before = _environment()
    with dataflow_test_harness(workers=3, log_prints=True):
        settings = get_settings()
        assert (settings.workers, settings.log_prints, settings.log_level) == (3, True, "INFO")
        assert settings.progress == "off"
        assert Path(str(find_place())).parent == settings.home
        os.environ["DATAFLOW_DEBUG"] = "1"
    assert _environment() == before


def test_the_run_loop_and_the_implicit_run_are_put_back(monkeypatch, tmp_path: Path) -> None:
    with dataflow_test_harness(home=tmp_path / "outer") as outer:
        future = double.submit(1)
        loop = process_loop.run_loop()
        with dataflow_test_harness() as inner:
            assert double.submit(2).result() == 4
            assert process_loop.run_loop() is not loop
            assert [run.flow_name for run in inner.runs()] == ["implicit"]
        assert process_loop.run_loop() is loop
        assert double.submit(future).result() == 4
        (run,) = outer.runs()
        assert len(run.nodes()) == 2


@pytest.fixture
def outermost(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pools are kept around this test, whatever the session does."""
    monkeypatch.setattr(harness_module, "_sharing", 0)


def test_pools_that_are_kept_serve_many_harnesses(outermost: None) -> None:
    before = dict(runner_choice.runners_by_name)
    seen: set[int] = set()
    with keep_pools():
        for _ in range(3):
            with dataflow_test_harness("processes", log_to_terminal=False):
                seen.update(pids())
        assert 1 <= len(seen) <= 2
    assert runner_choice.runners_by_name == before
    _wait_until_gone(seen)


@pytest.mark.parametrize("runner", ["threads", "processes", "dask"])
def test_pools_end_with_the_outermost_harness(outermost: None, runner: str) -> None:
    before = dict(runner_choice.runners_by_name)
    with dataflow_test_harness(runner, log_to_terminal=False):
        first = set(pids())
        made = runner_choice.choose_runner(runner)
        with dataflow_test_harness(runner, log_to_terminal=False) as inner:
            assert set(pids()) | first
            assert runner_choice.choose_runner(runner) is made
            assert len(inner.runs()) == 1
        assert doubled(2) == [0, 2]
    assert runner_choice.runners_by_name == before
    if runner != "threads":
        _wait_until_gone(first)


def _wait_until_gone(pids_of_workers: set[int]) -> None:
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{each}").exists() for each in pids_of_workers):
        assert time.monotonic() < deadline, "workers are left over"
        time.sleep(0.02)


def test_nothing_is_left_behind() -> None:
    with dataflow_test_harness():  # threads that stay with the process begin with the first run
        doubled(1)
    environment, printed = _environment(), builtins.print
    threads, threshold = set(threading.enumerate()), gc.get_threshold()
    with dataflow_test_harness("threads", log_prints=True):
        doubled(2)
        double(1)
        Variable.set("left", 1)
        create_markdown_artifact("# left")
    assert _environment() == environment
    assert builtins.print is printed
    assert gc.get_threshold() == threshold
    left = {each.name for each in set(threading.enumerate()) - threads if each.is_alive()}
    assert not {name for name in left if "run loop" in name or "records" in name}


def test_it_is_put_back_after_an_error_too() -> None:
    environment = _environment()

    @task
    def never(gate: threading.Event) -> None:
        gate.wait(60)

    gate = threading.Event()
    with pytest.raises(ZeroDivisionError), dataflow_test_harness("threads"):
        never.submit(gate)  # nobody waits for it: it is cancelled
        1 / 0
    gate.set()
    assert _environment() == environment
    with dataflow_test_harness() as harness:
        assert doubled(1) == [0]
        assert len(harness.runs()) == 1


def test_what_cannot_be_is_said_at_once() -> None:
    environment = _environment()
    with pytest.raises(RunnerNotFound, match="nope"), dataflow_test_harness("nope"):
        pass
    with pytest.raises(SettingsError, match="colour"), dataflow_test_harness(colour="red"):
        pass
    with pytest.raises(SettingsError, match="WORKERS"), dataflow_test_harness(workers="many"):
        pass

    @flow
    def enters() -> None:
        with dataflow_test_harness():
            pass

    with dataflow_test_harness(), pytest.raises(DefinitionError, match="inside a run"):
        enters()
    assert _environment() == environment


def test_it_can_be_entered_again_and_again() -> None:
    for number in range(5):
        with dataflow_test_harness() as harness:
            doubled(number)
            assert len(harness.runs()) == 1


def test_functions_alone_need_no_harness() -> None:
    assert double.fn(2) == 4

    @flow
    def body() -> str | None:
        return runtime.flow_run.id

    assert body.fn() is None
