"""The suite `simulate`, on a hundred elements for a thousand threads."""

from __future__ import annotations

import pytest

from benchmarks.peers import OURS, PEERS
from benchmarks.rows import read_targets
from benchmarks.suites.simulate import CASES, ROWS, plan_work


def test_a_case_is_simulated_once_for_dask_alone():
    pytest.importorskip("numpy")
    dask = next(peer for peer in OURS if peer.key == "dataflow-dask")
    assert {work.name for work in plan_work(dask, 1.0)} == {row.work for row in ROWS}
    others = [peer for peer in (*OURS, *PEERS["dask"]) if peer is not dask]
    assert not any(plan_work(peer, 1.0) for peer in others)


def test_all_is_asked_of_cases_with_a_minute_of_work_for_each_thread():
    asked = {target.row for target in read_targets()}
    for case in CASES:
        rows = {row.key for row in case.rows}
        if case.threads > 10_000:
            assert not rows & asked
        elif case.n * case.milliseconds / 1000 / case.threads >= 60:
            assert rows <= asked
        else:
            assert rows & asked == {f"{case.key}_client_bytes"}


def test_a_case_is_measured(measured):
    pytest.importorskip("numpy")
    case = CASES[3]
    found = measured("simulate", 0.0001, peers={"dataflow-dask"}, works={case.key})["dataflow-dask"]
    assert found[case.key, "over_ideal"][0] >= 1
    assert 0 < found[case.key, "client_share"][0] <= 1
    assert found[case.key, "client_bytes"][0] > 10_000_000
    assert found[case.key, "messages_a_second"][0] > 0
