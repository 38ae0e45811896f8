"""Constants: what is large and the same for many batches goes to a cluster ahead of them, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from runners.dask import worker as dask_worker
from runners.dask.client import submit_own
from runners.dask.messages import FromConstant

_COPIES = 2
_WORKER_SECONDS = 1.0  # that a worker is waited for if they are gone
_RENEW_SECONDS = 10.0  # where nobody goes on without it
_TRIES = 5  # a worker that ends as it is sent a constant has them all refused
_MOST_MADE = 64


class Constants:
    """The constants of one cluster.

    Args:
        client: connected to it.
        has_workers: whether any worker is there.
    """

    def __init__(self, client: Any, has_workers: Callable[[], bool]) -> None:
        self._client = client
        self._has_workers = has_workers
        self._made: dict[Any, Callable[[], bytes | None]] = {}
        self._renewed: dict[Any, Any] = {}

    def put(
        self, data: bytes, make: Callable[[], bytes | None] | None = None
    ) -> tuple[FromConstant, Any]:
        """Have a constant come to the cluster; who needs it waits for it (see :func:`pending`).

        ``make`` makes it again, if it is not to be kept.

        A Dask task is made again by itself if it was lost, but it waits for a free thread; so this
        is one only while there are no workers, who then come because of it.
        """
        future = None
        if self._has_workers():
            future = self._scatter(f"constant-{uuid4().hex}", data, _WORKER_SECONDS)
        if future is None:
            future = submit_own(self._client, dask_worker.hold, "constant", data)
        else:
            self._made[future.key] = make or (lambda: data)
            while len(self._made) > _MOST_MADE:
                del self._made[next(iter(self._made))]
        return FromConstant(future.key), future

    def renew(self, key: Any) -> bool:
        """Bring a constant back that was lost with all workers that had it; whether that is known.

        Those that need it are mostly batches of before, which Dask carries out again as their
        values were lost as well: others are sent with a new one.
        """
        make = self._made.get(key)
        data = make() if make is not None else None
        if data is None:
            return False
        future = self._scatter(key, data, _RENEW_SECONDS)
        if future is None:
            return False
        self._renewed[key] = future
        return True

    def forget(self, constant: FromConstant) -> None:
        """Nobody can need it any more."""
        self._made.pop(constant.key, None)
        self._renewed.pop(constant.key, None)

    def _scatter(self, key: Any, data: bytes, seconds: float) -> Any | None:
        """Send it to workers; its future, or None if none comes in time, or none stays."""
        for _ in range(_TRIES):
            try:
                return self._client.scatter({key: data}, broadcast=_COPIES, timeout=seconds)[key]
            except TimeoutError:  # they are gone meanwhile
                break
            except OSError:  # Dask's CommClosedError: one that it chose ended just then
                continue
        return None


def is_gone(future: Any) -> bool:
    """Whether the future of a constant is of no use any more."""
    return future.status in ("cancelled", "error", "lost")


def pending(future: Any) -> list[Any]:
    """The future of what has yet to come to the cluster: till then batches depend on it."""
    return [future] if future.status == "pending" else []
