"""Fixtures of the suites' tests: a round of one suite so small that it takes about a second."""

from __future__ import annotations

import pytest

from benchmarks.harness import Harness
from benchmarks.peers import choose_peers
from benchmarks.session import make_plan
from benchmarks.suites import SUITES


@pytest.fixture
def measured():
    """The values of one round of works of a suite, by peer and (work, measure)."""

    def measure(suite, scale, *, peers, works=None, may_say="nothing"):
        """`may_say`: how a measurement may end on a machine that has other things to do."""
        chosen = tuple(peer for peer in choose_peers(["pool", "dask"]) if peer.key in peers)
        plan = {
            peer: [work for work in planned if works is None or work.name in works]
            for peer, planned in make_plan(SUITES[suite], chosen, scale).items()
        }
        results = Harness(2, lambda _: None).measure(plan, 1, {})
        for found in results.values():
            failures = {name: why for name, why in found.failures.items() if may_say not in why}
            assert (found.unavailable, failures) == (None, {})
        return {peer.key: dict(found.values) for peer, found in results.items()}

    return measure
