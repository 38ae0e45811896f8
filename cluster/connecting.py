"""Connecting to a Dask scheduler: a client of our own, within a limit, or one clear error."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from dataflow.errors import RunnerUnavailable
from dataflow.settings import get_settings


def connect(
    address: str, *, security: Any = None, direct: bool | None = None, seconds: float | None = None
) -> Any:
    """A ``distributed.Client`` that is nobody's default.

    Args:
        address: of the scheduler.
        security: its TLS settings, if it has any.
        direct: whether values may come straight from the workers, not through the scheduler.
        seconds: how long the scheduler may take to answer; None: the settings' limit.

    Raises:
        RunnerUnavailable: it did not answer in time.
    """
    begun = time.monotonic()
    from distributed import Client

    limit = get_settings().dask_connect_seconds if seconds is None else seconds
    rest = max(limit - (time.monotonic() - begun), 0.1)
    try:
        if not address.startswith("inproc:"):
            asyncio.run(_knock(address, security, rest))
        client = Client(  # type: ignore[no-untyped-call]
            address,
            timeout=rest,
            set_as_default=False,
            security=security,
            direct_to_workers=direct,
        )
        _hurry(client)
    except Exception as error:
        raise RunnerUnavailable(
            f"The Dask scheduler at {address} could not be reached within {limit:g} seconds "
            f"({type(error).__name__}: {error}).",
            hint="Is it running, and can it be reached from here? "
            "DATAFLOW_DASK_CONNECT_SECONDS sets the limit.",
            address=address,
        ) from error
    return client


def _hurry(client: Any) -> None:
    """Have a client send its messages at once."""
    from cluster.message_intervals import send_soon

    stream = client.scheduler_comm
    if stream is None:
        client.close()
        raise ConnectionResetError("it hung up at once")
    send_soon(stream)


async def _knock(address: str, security: Any, seconds: float) -> None:
    """See whether anybody answers: a client that never connected takes 20 s to be closed."""
    from distributed.comm.core import connect as open_comm

    arguments = security.get_connection_args("client") if security is not None else {}
    async with asyncio.timeout(seconds):
        comm = await open_comm(address, timeout=seconds, **arguments)  # type: ignore[no-untyped-call]
    comm.abort()
