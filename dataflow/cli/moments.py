"""Moments as people write them on the command line: ``2h``, ``30d``, or a date."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from dataflow.cli.complaints import Misuse
from dataflow.clock import utc_now

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_moment(text: str, option: str) -> datetime:
    """``2h`` is two hours ago; else a date, or a date and time, in local time unless it says.

    Raises:
        Misuse: it is neither.
    """
    hint = "Write 30m, 2h, 7d, or 2013-01-31, or 2013-01-31T08:00."
    span = _SPAN.fullmatch(text.strip().lower())
    try:
        if span is not None:
            return utc_now() - timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise Misuse(f"{option} {text!r} is no time.", hint=hint) from None
