"""Tags for whatever begins inside ``with tags(...)``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

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


def limits_of(node: Any) -> tuple[str, ...]:
    """The limits that runs of a node are under because of their tags."""
    known = node.graph.tag_limits
    if not known:
        return ()
    return tuple(name for tag in {*node.task.tags, *node.tags} if (name := f"tag:{tag}") in known)
