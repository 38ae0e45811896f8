"""How Dask's client is called, and how it hangs up."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

_numbers = count(1)


def outside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call Dask's client in no context: its event loop would keep that of the flow that asks."""
    return contextvars.Context().run(function, *args, **kwargs)


def submit_own(client: Any, function: Any, name: str, *arguments: Any) -> Any:
    """Submit a Dask task of ours that is no batch; its future."""
    key = (f"{name}-{client.id}", next(_numbers))
    return outside(client.submit, function, *arguments, key=key, pure=False)


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Dask's client logs, with tracebacks, that the other end was faster in hanging up."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("client", "batched", "core")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
