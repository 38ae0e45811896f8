"""Time, asked for in one place so that tests can put their own clock here.

Records hold whole nanoseconds since the epoch (UTC); loops use monotonic seconds; ticks tell
how long something took.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

now_ns = time.time_ns
monotonic = time.monotonic
ticks_ns = time.perf_counter_ns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def datetime_of(ns: int) -> datetime:
    """An aware UTC datetime from nanoseconds since the epoch (exact to the microsecond)."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def ns_of(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime."""
    return ((moment - _EPOCH) // timedelta(microseconds=1)) * 1000
