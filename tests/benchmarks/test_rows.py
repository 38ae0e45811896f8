"""Figures, ratios and targets."""

from __future__ import annotations

import pytest

from benchmarks.rows import Figure, Row, Target, judge, ratio, read_targets
from benchmarks.suites import SUITES

EACH = Row("map", "each", "µs", "seconds_each", 1e6)
TOTAL = Row("memory", "total", "MB", "grown_bytes", 1e-6, is_total=True)


def test_ratio_of_medians():
    assert ratio(EACH, Figure(10, (1.0, 8.0, 90.0)), Figure(1000, (2.0,))) == 4


@pytest.mark.parametrize(
    ("figure", "base"),
    [
        (None, Figure(1, (2.0,))),
        (Figure(1, (2.0,)), None),
        (Figure(1, failure="broken"), Figure(1, (2.0,))),
        (Figure(1, (2.0,)), Figure(1, (0.0,))),
    ],
)
def test_no_ratio_without_both_figures(figure, base):
    assert ratio(EACH, figure, base) is None


def test_totals_of_different_n_have_no_ratio():
    assert ratio(TOTAL, Figure(10, (4.0,)), Figure(20, (2.0,))) is None
    assert ratio(TOTAL, Figure(20, (4.0,)), Figure(20, (2.0,))) == 2


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (Target("map", "dataflow", 3.0), True),
        (Target("map", "dataflow", 2.9), False),
        (Target("map", "dataflow", 1 / 40, of="pool"), True),
        (Target("map", "dataflow", 1 / 60, of="pool"), False),
        (Target("map", "dataflow", 1 / 60, of="ray"), None),
        (Target("map", "nobody", 1.0), None),
        (Target("map", "dataflow", at_least=3.0), True),
        (Target("map", "dataflow", at_least=3.1), False),
        (Target("map", "dataflow", at_least=1 / 60, of="pool"), True),
    ],
)
def test_targets_are_judged(target, is_met):
    table = {"map": {"dataflow": Figure(100, (3.0,)), "pool": Figure(10, (150.0,))}}
    (verdict,) = judge((EACH,), table, (target,))
    assert verdict.is_met is is_met


def test_targets_of_other_suites_are_left_alone():
    assert judge((EACH,), {"map": {}}, (Target("elsewhere", "dataflow", 1.0),)) == []


def test_targets_name_rows_that_exist():
    rows = [row.key for suite in SUITES.values() for row in suite.ROWS]
    assert len(rows) == len(set(rows))
    targets = {target.row for target in read_targets()}
    assert {"import", "ten", "metg_fft"} <= targets <= set(rows)


def test_of_suites_in_which_every_row_is_promised_something_each_has_a_target():
    promised = {row.key for name in ("patterns", "uneven", "graphs") for row in SUITES[name].ROWS}
    promised |= {row.key for row in SUITES["values"].ROWS if row.measure == "through_flow"}
    assert promised <= {target.row for target in read_targets()}


def test_a_fraction_is_described_as_one():
    assert Target("map", "dataflow", 1 / 40, of="pool").describe(EACH) == "≤ 1/40 of pool"
    assert Target("map", "dataflow", 3).describe(EACH) == "≤ 3 µs"


def test_a_row_may_have_no_unit():
    count = Row("requests_at_once", "in flight", "", "most_at_once")
    assert Target("requests_at_once", "dataflow", at_least=500).describe(count) == "≥ 500"
