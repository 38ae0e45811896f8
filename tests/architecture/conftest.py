"""Fixtures of the architecture tests: fresh interpreters, as a user's program starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RunScript = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the clone that holds these tests."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def run_script(tmp_path: Path, repository: Path) -> RunScript:
    """Run a program from a file in an empty folder, with a store of its own."""

    def run(source: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(source)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {
            "DATAFLOW_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(repository),
        }
        return subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
