"""What tests of several folders need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflow.execution.run_loop import close_run_loop


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of its own for a test; what the test began in it is ended afterwards."""
    place = tmp_path / "home"
    monkeypatch.setenv("DATAFLOW_HOME", str(place))
    monkeypatch.setenv("DATAFLOW_WORKERS", "2")
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "0")
    monkeypatch.setenv("DATAFLOW_PROGRESS", "off")
    yield place
    close_run_loop()
