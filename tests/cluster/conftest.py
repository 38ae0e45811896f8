"""Clusters of one worker, in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cluster.local import LocalDaskCluster


@pytest.fixture(scope="module")
def local() -> Iterator[LocalDaskCluster]:
    """A small cluster that the tests of a module share."""
    cluster = LocalDaskCluster(workers=1)
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Nannies that run in the test's own process set there what their workers are to have."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
