"""Clusters of one worker, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.local import LocalDaskCluster


@pytest.fixture(scope="module")
def local() -> Iterator[LocalDaskCluster]:
    """A small cluster that the tests of a module share."""
    cluster = LocalDaskCluster(workers=1)
    yield cluster
    cluster.close()
