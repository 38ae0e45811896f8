"""The examples run as their pages say, and find what is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str) -> str:
    """The output of ``python -m ...`` in the repository."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATAFLOW_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_flights_of_a_year(tmp_path: Path) -> None:
    printed = run(tmp_path, "examples.flights", "--output", str(tmp_path))
    assert "336,776 flights in 185 partitions" in printed
    assert "8,255 never left" in printed
    assert "Figures that agree with those published: 43, that do not: 0." in printed
    assert (tmp_path / "delays.png").stat().st_size > 50_000


def test_every_runner_prints_the_same(tmp_path: Path) -> None:
    output = str(tmp_path / "output")
    printed = {
        run(tmp_path, "examples.flights", "--runner", runner, "--months", "2", "--output", output)
        for runner in ("inline", "threads", "processes", "dask")
    }
    assert len(printed) == 1
    assert "24,951 flights" in printed.pop()


def test_the_flights_from_the_command_line(tmp_path: Path) -> None:
    file = "examples/flights/flow.py:flights"
    parameters = ("-p", "months=[2]", "-p", f"output={tmp_path}")
    printed = json.loads(run(tmp_path, "dataflow", "run", file, *parameters, "--json"))
    assert printed["result"]["flights"] == 24_951


def test_pages_are_fetched(tmp_path: Path) -> None:
    printed = run(tmp_path, "examples.http_fanout", "1000")
    assert "998 of 1,000 pages" in printed
    assert "855 at attempt 1, 95 at attempt 2, 48 at attempt 3" in printed


def test_the_sweep_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(ROOT / "examples" / "parameter_sweep" / "sweep.ipynb", as_version=4)
    NotebookClient(notebook, timeout=100).execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert "9/9 done, best so far 0.9" in printed
