"""The profile of a map in docs/performance.md says of what an element's time is made, all of it."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_code_blocks import ROOT

HEADING = "## What an element of a map of 100,000 is made of"


def test_the_parts_of_an_element_are_all_that_it_takes() -> None:
    text = (ROOT / "docs/performance.md").read_text()
    section = text[text.index(HEADING) + len(HEADING) :].partition("\n## ")[0]
    rows = re.findall(r"^\| .+ \| (\d+) % \| ([\d.]+) \|$", section, re.MULTILINE)
    assert len(rows) >= 8
    shares = [int(share) for share, _ in rows]
    parts = [float(microseconds) for _, microseconds in rows]
    counted = re.search(r"([\d.]+) µs of the workers' processor time and ([\d.]+) of", section)
    assert counted is not None
    assert sum(shares) == pytest.approx(100, abs=3)  # each is rounded
    assert sum(parts) == pytest.approx(sum(map(float, counted.groups())), abs=0.03)
    assert "py-spy" in section and "The floor:" in section
