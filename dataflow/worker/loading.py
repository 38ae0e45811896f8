"""How long this thread has been loading values: who carries out a batch looks before and after.

Measured where values are unpickled or fetched, so that to look up one that is here costs nothing.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from dataflow.clock import ticks_ns


class _Spent(threading.local):
    ns = 0


_spent = _Spent()


def loading_ns() -> int:
    """Nanoseconds that this thread has been loading values so far."""
    return _spent.ns


def load_pickle(data: Any, buffers: Iterable[Any] | None = None) -> Any:
    """Unpickle values."""
    before, begun = _spent.ns, ticks_ns()
    try:
        return pickle.loads(data, buffers=buffers)
    finally:
        _spent.ns = before + ticks_ns() - begun


@contextmanager
def while_loading() -> Iterator[None]:
    """All that is done inside is loading."""
    before, begun = _spent.ns, ticks_ns()
    try:
        yield
    finally:
        _spent.ns = before + ticks_ns() - begun
