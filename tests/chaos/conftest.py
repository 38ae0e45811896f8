"""Where hosts in network namespaces can be had, the tests that need them run."""

from __future__ import annotations

import os

import pytest

from tests.chaos.hosts import why_no_hosts


@pytest.fixture
def namespaces() -> None:
    """Skips where there can be none; for root on CI, where ``.ci/run`` sees to it, that fails."""
    reason = why_no_hosts()
    if reason is None:
        return
    if os.environ.get("CI") and os.geteuid() == 0:
        pytest.fail(reason)
    pytest.skip(reason)
