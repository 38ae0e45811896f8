"""The batches that Dask has, each with its future."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dataflow.model.batches import Batch
from runners.dask.messages import CodeReference


@dataclass(slots=True)
class Flight:
    """A batch that was given to Dask.

    Attributes:
        future: None until it has been sent.
        begun_on: the worker that was the last to say that it begins with this suspect.
        is_excused: whether it had not begun on the last worker that was lost with it, and that had
            other tasks as well.
    """

    batch: Batch
    code: CodeReference | None = None
    future: Any = None
    retries: int = 0
    begun_on: str | None = None
    is_excused: bool = False


class Outgoing(NamedTuple):
    """A batch that is about to be given to Dask, and the futures that it depends on."""

    flight: Flight
    message: bytes
    dependencies: list[Any]


class Flights:
    """The batches of one session that are under way with Dask; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[int, Flight] = {}
        self._cancelled: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._flights)

    def take_off(
        self, outgoing: Iterable[Outgoing], send: Callable[[list[Outgoing]], Sequence[Any]]
    ) -> list[Flight]:
        """Have batches sent, but for those that are cancelled; ``send`` returns their futures.

        Returns:
            Those that were sent.
        """
        with self._lock:
            sent = [each for each in outgoing if each.flight.batch.id not in self._cancelled]
            flights = [each.flight for each in sent]
            if sent:
                self._flights.update({each.batch.id: each for each in flights})
                for flight, future in zip(flights, send(sent), strict=True):
                    flight.future = future
        return flights

    def find(self, batch_id: int) -> Flight | None:
        """A batch with its future; None: it is not under way (any more)."""
        with self._lock:  # a report can be here before the sender has noted the future
            return self._flights.get(batch_id)

    def land(self, batch_id: int) -> Flight | None:
        """Note that nothing more will come of a batch; None: that was known."""
        with self._lock:
            return self._flights.pop(batch_id, None)

    def cancel(self, batch_ids: Collection[int]) -> list[Flight]:
        """Let go of batches, and never send those that have not been sent; what was sent."""
        with self._lock:
            self._cancelled.update(batch_ids)
            found = [self._flights.pop(batch_id, None) for batch_id in batch_ids]
        return [each for each in found if each is not None]

    def is_cancelled(self, batch: Batch) -> bool:
        """Whether it should not be sent."""
        return batch.id in self._cancelled

    def with_keys(self, keys: Collection[Any]) -> list[Flight]:
        """Those that have one of these keys of Dask."""
        with self._lock:
            flights = [self._flights.get(key[1]) for key in keys if isinstance(key, tuple)]
        return [each for each in flights if each and key_of(each.batch) in keys]

    def batches(self) -> list[Batch]:
        """All of them."""
        with self._lock:
            return [flight.batch for flight in self._flights.values()]

    def clear(self) -> None:
        """Nothing more will come of any of them."""
        with self._lock:
            self._flights.clear()


def key_of(batch: Batch) -> tuple[str, int]:
    """One prefix a task and one group a run, since the scheduler keeps prefixes for ever."""
    return f"{batch.tasks[0].name}-{batch.run.run_id}", batch.id
