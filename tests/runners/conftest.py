"""The conformance suite: what users were promised, on every runner.

Runners are chosen by name from the environment, so that one warm pool serves all tests of a
process, and flows and tasks outside flows go through the same door.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflow.execution.run_loop import close_run_loop

RUNNERS = ("inline", "threads", "processes", "dask")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of its own for each test; what the test began in it is ended afterwards."""
    place = tmp_path / "home"
    monkeypatch.setenv("DATAFLOW_HOME", str(place))
    monkeypatch.setenv("DATAFLOW_WORKERS", "2")
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "0")
    monkeypatch.setenv("DATAFLOW_PROGRESS", "off")
    yield place
    close_run_loop()


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the runner that flows and tasks of this test run on."""
    name: str = request.param
    if name == "dask" and importlib.util.find_spec("runners.dask") is None:
        pytest.skip("runners/dask.py does not exist yet")
    monkeypatch.setenv("DATAFLOW_RUNNER", name)
    return name


@pytest.fixture
def shares_objects(runner: str) -> bool:
    """Whether tasks get the very objects that they are given."""
    return runner in ("inline", "threads")
