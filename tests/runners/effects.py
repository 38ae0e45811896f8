"""What tasks of a test did, counted in a file: a line for each call, from whatever process."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


def note(place: str, what: object) -> None:
    """Write down that something was done."""
    descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def done(place: str) -> Counter[str]:
    """How often what was done."""
    path = Path(place)
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def fails_once(place: str, what: str) -> bool:
    """Whether something is to fail now: the first time that it is asked."""
    try:
        Path(f"{place}-{what}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
