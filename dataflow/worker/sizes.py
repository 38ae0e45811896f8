"""How large values are, as far as they say so themselves."""

from __future__ import annotations

from typing import Any

LARGE_BYTES = 64_000
"""From here on it matters where a value is."""


def nbytes_of(value: Any) -> int:
    """The bytes of text, bytes, an array, a frame or a table; 0 for anything else."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    nbytes = getattr(value, "nbytes", None)
    if nbytes is None and hasattr(type(value), "memory_usage"):
        nbytes = value.memory_usage(index=False).sum()
    try:
        return 0 if nbytes is None else int(nbytes)
    except (TypeError, ValueError):  # something else is called so
        return 0
