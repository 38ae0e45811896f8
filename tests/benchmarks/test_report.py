"""The report: Markdown and JSON of the same session."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.report import (
    FIGURES_BEGIN,
    FIGURES_END,
    as_markdown,
    describe_missed,
    quote_figures,
    summary,
    write_report,
)
from benchmarks.rows import Target, Verdict

MARK = FIGURES_BEGIN.format(suite="overhead")


def _lines(session, start):
    return [line for line in as_markdown(session).splitlines() if line.startswith(start)]


def test_summary_has_medians_and_targets(session):
    summary = _lines(session, "| import, over")[0]
    assert "≤ 60 ms: missed" in summary
    assert "70 ms" in summary
    assert "≤ 0.6 s: met" in _lines(session, "| ten submits")[0]


def test_a_target_of_several_peers_says_whom_it_was_missed_by(session):
    target = Target("first", "dataflow", 0.5)
    verdicts = [Verdict(target, True), Verdict(replace(target, peer="dataflow-dask"), False)]
    (row,) = list(summary(replace(session, rows=(session.rows[4],), verdicts=verdicts)))[2:]
    assert "| ≤ 0.5 s: dataflow met, dataflow-dask missed |" in row


def test_sections_have_n_spread_and_ratios(session):
    first = _lines(session, "| pool, chunksize 1 | 20,000")[0]
    assert first == "| pool, chunksize 1 | 20,000 | 150 µs | 75 to 450 | 50 | 25 |"


def test_machine_and_versions_are_stated(session):
    text = as_markdown(session)
    assert "A CPU, 2 cores, 23.5 GiB, Linux 6, Python 3.11.7; 2026-01-02 03:04 UTC" in text
    assert "medians of 3 fresh processes" in text
    assert "| pool, chunksize 500 | python 3.11.7 |" in text


def test_a_suite_without_workers_says_nothing_of_them(session):
    options = replace(session.options, workers=0, rounds=1)
    text = as_markdown(replace(session, options=options))
    assert "commit abc1234. Medians of 1 fresh process, all peers in one session." in text


def test_a_peer_that_was_not_found_is_a_row(session):
    assert "| Ray |  | not found; `--make-environments` installs it |" in as_markdown(session)
    assert "Ray" not in _lines(session, "|  | target")[0]


def test_every_line_of_a_table_has_as_many_cells(session):
    widths = {line.count("|") for line in _lines(session, "| ten submits in")}
    assert widths == {_lines(session, "|  | target")[0].count("|")}


def test_json_holds_every_value(session, tmp_path):
    path = write_report(session, tmp_path / "new")
    assert path.read_text() == as_markdown(session)
    found = json.loads((tmp_path / "new" / "results" / "overhead.json").read_text())
    rows = {row["key"]: row for row in found["rows"]}
    figure = rows["map"]["figures"]["dataflow"]
    assert figure == {"n": 100_000, "median": 3.0, "values": pytest.approx([3.0, 9.0, 1.5])}
    assert rows["map"]["ratios"]["dataflow"]["pool"] == pytest.approx(50)
    assert rows["map"]["figures"]["ray"]["failure"].startswith("not found")
    assert rows["ten"]["targets"][0]["is_met"] is True
    assert found["machine"]["started_at"] == "2026-01-02T03:04:00+00:00"


def test_a_suite_replaces_only_its_own_part(session, tmp_path):
    write_report(session, tmp_path)
    other = replace(session, options=replace(session.options, suite="patterns"), title="Other")
    write_report(other, tmp_path)
    write_report(replace(session, title="Again"), tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Results",
        "## [Again](results/overhead.md)",
        "## [Other](results/patterns.md)",
    ]
    assert text.count("edit nothing here") == 1
    assert text.count("| ten submits in a fresh process |") == 2


def test_missed_targets_are_sentences(session):
    assert list(describe_missed(session)) == [
        "dataflow: import, over a bare interpreter: 70 ms, target ≤ 60 ms: missed"
    ]


def test_quoting_replaces_what_is_between_the_marks(session, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(f"before\n{MARK}\nold\n{FIGURES_END}\nafter\n")
    assert quote_figures(session, document)
    assert quote_figures(session, document)
    text = document.read_text()
    assert "old" not in text
    assert text.count("| ten submits in a fresh process |") == 1
    assert text.startswith("before\n") and text.endswith("\nafter\n")


def test_quoting_needs_the_marks(session, tmp_path):
    document = tmp_path / "README.md"
    document.write_text("nothing\n")
    assert not quote_figures(session, document)
    assert document.read_text() == "nothing\n"
