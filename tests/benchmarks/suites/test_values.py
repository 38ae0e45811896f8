"""The suite `values`, on arrays of a megabyte."""

from __future__ import annotations

import pytest

from benchmarks.calls import carry_out
from benchmarks.cases.large_values import PASSED, chain, fan_in
from benchmarks.peers import OURS, PEERS
from benchmarks.suites.values import plan_work


@pytest.mark.parametrize("kind", ["numpy", "pandas", "arrow"])
def test_a_chain_copies_and_changes_a_value_eight_times(kind):
    pytest.importorskip({"arrow": "pyarrow"}.get(kind, kind))
    calls = chain(kind, 800)
    assert len(calls) == PASSED + 2
    assert carry_out(calls)[-1] == 100 + PASSED
    assert carry_out(fan_in(kind, 800))[-1] == PASSED * 100


def test_whole_values_are_asked_for():
    assert all(work.n % 8 == 0 for work in plan_work(OURS[0], 0.00012345))
    assert plan_work(PEERS["pool"][0], 1.0) == []


def test_each_kind_runs(measured):
    works = {"numpy-chain", "numpy-fan_in", "pandas-chain"}
    found = measured("values", 0.01, peers={"dataflow", "dask"}, works=works)
    for work in works:
        assert found["dataflow"][work, "over_copy"][0] > 0
        assert found["dataflow"][work, "through_flow"][0] < 1_000_000
        assert (work, "through_flow") not in found["dask"]
