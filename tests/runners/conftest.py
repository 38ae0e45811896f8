"""The conformance suite: what users were promised, on every runner.

Runners are chosen by name from the environment, so that one warm pool serves all tests of a
process, and flows and tasks outside flows go through the same door. What batches could show in is
tested with batches of every size, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dataflow.execution.loop import queues, works
from dataflow.execution.runner_choice import runners_by_name
from runners.threads import ThreadPoolTaskRunner
from tests.runners.programs import Program, wait_until

if TYPE_CHECKING:
    from runners.dask import DaskTaskRunner

Start = Callable[[str, str], Program]

RUNNERS = ("inline", "threads", "processes", "dask")
ALL = sys.maxsize
BATCHES = [("processes", 1), ("processes", 2), ("processes", 7), ("processes", ALL)]
every_batch_size = pytest.mark.parametrize(
    "runner",
    [*RUNNERS, *BATCHES],
    indirect=True,
    ids=[*RUNNERS, "processes by 1", "processes by 2", "processes by 7", "processes at once"],
)
"""A module's mark: its tests also run with batches of these sizes."""


@pytest.fixture
def free_threads(dataflow_pools: None) -> Iterator[None]:
    """When all else of a test has ended, its tasks leave the threads that others share."""
    yield
    threads = runners_by_name.get((os.getpid(), "threads"))
    if isinstance(threads, ThreadPoolTaskRunner):
        wait_until(lambda: not threads._bodies, "a task still has a thread of the pool")


@pytest.fixture(autouse=True)
def of_its_own(free_threads: None, home: Path) -> None:
    """No test leaves anything to another."""


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the runner that flows and tasks of this test run on."""
    name, size = request.param if isinstance(request.param, tuple) else (request.param, None)
    if size is not None:
        force_batches(size, monkeypatch)
    monkeypatch.setenv("DATAFLOW_RUNNER", name)
    return name


@pytest.fixture(scope="module")
def own() -> Iterator[DaskTaskRunner]:
    """A Dask cluster that nobody but the tests of one module uses."""
    from runners.dask import DaskTaskRunner

    with DaskTaskRunner(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}) as runner:
        yield runner


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts programs on runners, and ends them after the test."""
    started: list[Program] = []

    def begin(source: str, runner: str) -> Program:
        started.append(Program(source, home, runner))
        return started[-1]

    yield begin
    for program in started:
        program.kill()


@pytest.fixture
def place(tmp_path: Path) -> str:
    """Where tasks note what they did, in whichever process (see ``effects``)."""
    return str(tmp_path / "effects")


@pytest.fixture
def shares_objects(runner: str) -> bool:
    """Whether tasks get the very objects that they are given."""
    return runner in ("inline", "threads")


def force_batches(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches take so many elements, whatever these cost, and hand none of them back."""

    def forced(work: works.Work, left: int, *_known: Any) -> int:
        return min(size, left, work.task.batch_size or left)

    monkeypatch.setattr(works, "_size", forced)
    monkeypatch.setattr(works, "first_batch_size", lambda _mean: size)
    monkeypatch.setattr(queues, "budget_seconds", lambda *_: 1e9)
