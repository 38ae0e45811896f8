"""Tags for whatever begins inside ``with tags(...)``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

current_tags: ContextVar[tuple[str, ...]] = ContextVar("dataflow_tags", default=())


@contextlib.contextmanager
def tags(*names: str) -> Iterator[tuple[str, ...]]:
    """Give these tags to every run that begins inside this ``with``; yields all that apply."""
    together = tuple(dict.fromkeys((*current_tags.get(), *names)))
    token = current_tags.set(together)
    try:
        yield together
    finally:
        current_tags.reset(token)
