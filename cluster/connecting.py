"""Connecting to a Dask scheduler: a client of our own, within a limit, or one clear error."""

from __future__ import annotations

from typing import Any

from dataflow.errors import RunnerUnavailable
from dataflow.settings import get_settings


def connect(
    target: Any, *, security: Any = None, direct: bool | None = None, seconds: float | None = None
) -> Any:
    """A ``distributed.Client`` that is nobody's default.

    Args:
        target: the address of a scheduler, or a cluster.
        security: its TLS settings, if it has any.
        direct: whether values may come straight from the workers, not through the scheduler.
        seconds: how long the scheduler may take to answer; None: the settings' limit.

    Raises:
        RunnerUnavailable: it did not answer in time.
    """
    from distributed import Client

    limit = get_settings().dask_connect_seconds if seconds is None else seconds
    try:
        return Client(  # type: ignore[no-untyped-call]
            target,
            timeout=limit,
            set_as_default=False,
            security=security,
            direct_to_workers=direct,
        )
    except Exception as error:
        where = target if isinstance(target, str) else getattr(target, "scheduler_address", target)
        raise RunnerUnavailable(
            f"The Dask scheduler at {where} did not answer within {limit:g} seconds "
            f"({type(error).__name__}: {error}).",
            hint="Is it running, and can it be reached from here? "
            "DATAFLOW_DASK_CONNECT_SECONDS sets the limit.",
            address=str(where),
        ) from error
