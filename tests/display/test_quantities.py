"""Numbers as people read them."""

from __future__ import annotations

import pytest

from dataflow.display.quantities import (
    bytes_text,
    count_text,
    duration_text,
    percent_text,
    rate_text,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (-1, "0.00 s"),
        (0.424, "0.42 s"),
        (0.999, "1.0 s"),
        (8.14, "8.1 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.9, "1m 00s"),
        (200, "3m 20s"),
        (3599.9, "1h 00m"),
        (3725, "1h 02m"),
        (90_000, "1d 01h"),
    ],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (3412.7, "3,410/s"),
        (123.4, "123/s"),
        (12.34, "12.3/s"),
        (0.5, "30.0/min"),
        (0.001, "3.6/h"),
        (0, ""),
    ],
)
def test_rates(rate, text):
    assert rate_text(rate) == text


def test_counts_percents_and_sizes():
    assert count_text(1234567) == "1,234,567"
    assert percent_text(9999, 10000) == "99%"
    assert percent_text(3, 3) == "100%"
    assert [bytes_text(n) for n in (12, 12_340, 10**7, 10**13)] == [
        "12 B",
        "12.3 kB",
        "10.0 MB",
        "10.0 TB",
    ]
