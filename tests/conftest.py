"""What tests of every kind need: a home of their own, where a flow may run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflow.testing import dataflow_test_harness


@pytest.fixture
def home(tmp_path: Path, dataflow_pools: None) -> Iterator[Path]:
    """A store for this test, and warm pools; what the test began in it is ended afterwards."""
    with dataflow_test_harness(None, home=tmp_path / "home", log_to_terminal=False) as harness:
        yield harness.home
