"""Flows on a store in PostgreSQL, from the command line: what is written is what is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.store.programs import ROOT

FLOWS = """
from dataflow import flow, get_run_logger, task

@task(retries=1)
def clean(number):
    if number % 5 == 3:
        raise ValueError(f"bad row {number}")
    get_run_logger().warning("row %s", number)
    return number

@task
def double(number):
    return 2 * number

@flow(fail_on_unhandled=False)
def inner(count: int):
    double.map(clean.map(range(count)))

@flow
def outer(count: int = 20):
    inner(count)
    return sum(double.map(range(100)).result())
"""


@pytest.mark.parametrize("runner", ["inline", "processes"])
def test_a_flow_and_all_that_is_asked_of_it(postgres, tmp_path, runner):
    (tmp_path / "flows.py").write_text(FLOWS)

    def dataflow(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dataflow", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DATAFLOW_STORE_URL": url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    url = postgres.fresh_url()
    dataflow("run", "flows.py:outer", "--runner", runner)
    listed = json.loads(dataflow("runs", "ls", "--subflows", "--json"))
    assert {run["flow"]: run["state"]["name"] for run in listed} == {
        "inner": "Completed",
        "outer": "Completed",
    }
    inner = next(run["id"] for run in listed if run["flow"] == "inner")
    shown = json.loads(dataflow("runs", "show", inner, "--failures", "--timing", "--json"))
    assert [node["states"] for node in shown["nodes"]] == [
        {"Completed": 16, "Failed": 4},
        {"Completed": 16, "NotReady": 4},
    ]
    assert [each["name"] for each in shown["failures"]] == [f"clean-0[{n}]" for n in (3, 8, 13, 18)]
    assert dataflow("runs", "logs", inner).count("row ") >= 16
    assert "PostgreSQL" in dataflow("store", "info")
