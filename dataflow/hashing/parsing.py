"""Source is parsed again where another thread has parsed some at the same time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")
_RACES = 10


def parse_again(parse: Callable[[S], T], source: S) -> T:
    """What a function makes of source, such as ``ast.parse`` or ``inspect.getsource``.

    Before 3.11.8, Python raises ``SystemError`` where threads take turns amid the making of a tree
    (its issue 106905): then it is done once more.

    Raises:
        Exception: what the function raises.
    """
    for race in range(_RACES):
        with contextlib.suppress(SystemError):
            return parse(source)
        time.sleep(race / 1000)
    return parse(source)
