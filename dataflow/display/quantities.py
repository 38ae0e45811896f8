"""Counts, rates and durations as people read them."""

from __future__ import annotations


def count_text(count: int) -> str:
    """``34120`` becomes ``34,120``."""
    return f"{count:,}"


def duration_text(seconds: float) -> str:
    """A duration as ``0.42 s``, ``8.1 s``, ``42 s``, ``3m 20s`` or ``1h 02m``."""
    if seconds < 0.995:
        return f"{max(seconds, 0):.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02d}h"


def fine_duration_text(seconds: float) -> str:
    """The same, and what is short as ``12.3 µs`` or ``4.56 ms``."""
    for size, unit in ((1e-6, "µs"), (1e-3, "ms")):
        if seconds < 1000 * size:
            return f"{seconds / size:.3g} {unit}"
    return duration_text(seconds)


def rate_text(per_second: float) -> str:
    """A rate in the unit that gives a number of 1 or more: ``3,400/s``, ``4.2/min``."""
    for rate, unit in ((per_second, "s"), (per_second * 60, "min"), (per_second * 3600, "h")):
        if rate >= 100:
            return f"{_rounded(rate):,}/{unit}"
        if rate >= 1:
            return f"{rate:.1f}/{unit}"
    return ""


def _rounded(rate: float) -> int:
    """Three figures: more would only flicker."""
    unit: int = 10 ** max(len(str(int(rate))) - 3, 0)
    return round(rate / unit) * unit


def percent_text(part: int, whole: int) -> str:
    """``99%`` up to the very end: 100% is said of nothing that is not done."""
    return f"{min(int(100 * part / whole), 99) if part < whole else 100}%"


def bytes_text(size: int) -> str:
    """A size in bytes: ``12.3 MB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
