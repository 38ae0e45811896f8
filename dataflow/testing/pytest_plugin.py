"""The pytest plugin: loaded by pytest itself wherever dataflow is installed.

``dataflow_harness`` gives a test a home and a store of its own, ``dataflow_pools`` keeps workers
warm from test to test, the marker ``dataflow`` says what a test needs, and the option
``dataflow_runner`` of pytest's configuration which runner the others get.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataflow.testing.harness import Harness, dataflow_test_harness, keep_pools

_MARKER = (
    "dataflow(runner=..., **settings): what the harness of this test gets, "
    "such as dataflow(runner='threads', workers=4)."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest of our option."""
    parser.addini(
        "dataflow_runner", "The runner of dataflow's fixtures; default: inline.", default="inline"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def dataflow_pools() -> Iterator[None]:
    """Pools of workers stay for the whole session; the harnesses of its tests share them."""
    with keep_pools():
        yield


@pytest.fixture
def dataflow_harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """A home, a store and a runner for one test (see ``dataflow.testing``)."""
    marker = request.node.get_closest_marker("dataflow")
    options = {"runner": request.config.getini("dataflow_runner")}
    if marker is not None:
        options.update(marker.kwargs)
    with dataflow_test_harness(**options) as harness:
        yield harness
