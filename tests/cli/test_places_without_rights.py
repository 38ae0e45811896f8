"""Places that may not be written: refused before a line of a flow runs, with what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
FLOWS = """
from dataflow import flow, task

@task
def one():
    return 1

@flow(task_runner="threads", persist_result=True)
def begins():
    print("it began")
    return one.submit().result()

if __name__ == "__main__":
    begins()
"""


def _as_somebody(arguments: list[str], folder: Path, **environment: str) -> tuple[int, str, str]:
    """Run a program as somebody whom folders can be closed to."""
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [*(as_nobody if os.geteuid() == 0 else []), sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that others can enter, with the flows, ``own`` for them, and ``closed``."""
    found = Path(tempfile.mkdtemp())
    found.chmod(0o755)
    (found / "flows.py").write_text(FLOWS)
    (found / "own").mkdir()
    (found / "closed").mkdir()
    if os.geteuid() == 0:
        os.chown(found / "own", NOBODY, NOBODY)
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv, and to root no folder is closed")
    if _as_somebody(["-c", "import dataflow.cli"], found)[0]:
        pytest.skip("nobody but root can run this Python")
    yield found
    (found / "closed").chmod(0o755)
    shutil.rmtree(found)


@pytest.mark.parametrize("program", [["flows.py"], ["-m", "dataflow", "run", "flows.py:begins"]])
@pytest.mark.parametrize(
    ("mode", "place", "said"),
    [
        (0o555, "closed", "it is read-only, or belongs to someone else"),
        (0o555, "closed/kept", "its folder cannot be made (Permission denied)"),
        (0o000, "closed/kept", "Permission denied"),
    ],
)
def test_a_result_storage(
    folder: Path, program: list[str], mode: int, place: str, said: str
) -> None:
    (folder / "closed").chmod(mode)
    status, out, err = _as_somebody(
        program,
        folder,
        DATAFLOW_HOME=str(folder / "own"),
        DATAFLOW_RESULTS_STORAGE=str(folder / place),
    )
    assert status == 1
    assert f"The result storage {folder / place} cannot be used: " in err
    assert said in err
    assert "result_storage=" in err
    assert "it began" not in out
    assert ("Traceback" in err) == (program == ["flows.py"])  # Python's own, of an exception


@pytest.mark.parametrize(
    "program",
    [["flows.py"], ["-m", "dataflow", "run", "flows.py:begins"], ["-m", "dataflow", "runs", "ls"]],
)
@pytest.mark.parametrize(
    ("mode", "place", "said"),
    [
        (0o555, "closed", "its folder is read-only, or belongs to someone else"),
        (0o555, "closed/home", "its folder cannot be made (Permission denied)"),
        (0o000, "closed", "its folder is read-only, or belongs to someone else"),
    ],
)
def test_a_store(folder: Path, program: list[str], mode: int, place: str, said: str) -> None:
    (folder / "closed").chmod(mode)
    status, out, err = _as_somebody(program, folder, DATAFLOW_HOME=str(folder / place))
    assert status == 1
    assert f"The store {folder / place / 'dataflow.db'} cannot be written: {said}." in err
    assert "Set DATAFLOW_HOME, or DATAFLOW_STORE_URL, to a place that can be written." in err
    assert "it began" not in out
    assert ("Traceback" in err) == (program == ["flows.py"])
