"""The fixtures, in a test session of their own as a user's would be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import os
import pytest
from dataflow import flow, records, task

@task
def pid(_):
    return os.getpid()

@flow(task_runner="dask")
def pids():
    return set(pid.map(range(4)).result())

HOMES = set()

@pytest.mark.parametrize("number", range(3))
def test_a_store_for_each_test(dataflow_harness, number):
    assert pids() == {os.getpid()}
    assert len(dataflow_harness.runs()) == 1
    assert dataflow_harness.home not in HOMES
    HOMES.add(dataflow_harness.home)

@pytest.mark.dataflow(runner="threads", workers=3)
def test_marked(dataflow_harness):
    pids()
    assert dataflow_harness.run(pids).summary.runner == "threads"
    assert os.environ["DATAFLOW_WORKERS"] == "3"

POOL = set()

@pytest.mark.dataflow(runner="processes")
@pytest.mark.parametrize("number", range(2))
def test_warm_pools(dataflow_pools, dataflow_harness, number):
    POOL.update(pids())
    assert os.getpid() not in POOL
    assert len(POOL) <= 2
    assert len(dataflow_harness.runs()) == 1
"""
SETTING = "[pytest]\ndataflow_runner = threads\n"
WITH_SETTING = """
from dataflow.execution.runner_choice import choose_runner

def test_the_runner_of_the_configuration(dataflow_harness):
    assert choose_runner(None).name == dataflow_harness.runner == "threads"
"""


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--strict-markers", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_fixtures_and_marker(tmp_path: Path) -> None:
    (tmp_path / "test_flows.py").write_text(TESTS)
    done = _pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_the_runner_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "test_flows.py").write_text(WITH_SETTING)
    (tmp_path / "pytest.ini").write_text(SETTING)
    done = _pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pytest_knows_the_marker(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "--markers")
    assert "@pytest.mark.dataflow(runner" in done.stdout
