"""The suite `graphs`, on a few tasks."""

from __future__ import annotations

from benchmarks.peers import OURS
from benchmarks.suites.graphs import ROWS, plan_work


def test_a_tree_keeps_a_power_of_two():
    sizes = {work.name: work.n for work in plan_work(OURS[0], 0.3)}
    assert (sizes["tree"], sizes["merge"]) == (1024, 3000)
    assert {row.work or row.key for row in ROWS} == set(sizes)


def test_every_case_runs(measured):
    found = measured("graphs", 0.02, peers={"dataflow", "dask"})
    for values in found.values():
        assert {(row.work or row.key, row.measure) for row in ROWS} <= set(values)
        assert values["first_work", "first_seconds"][0] > 0
