"""Slots of limits, as this process holds them and waits for them.

Who waits looks now and then, less and less often, whether anything in the store has changed, and
only then for more; what this process itself gives back is seen at once. While it holds or waits for
anything, a thread says in the store that the process lives.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.errors import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError
from dataflow.execution.run_stores import open_store_of_run
from dataflow.model.batches import RunInfo, StoreAddress
from dataflow.process_ids import this_process
from dataflow.store.run_store import RunStore
from dataflow.store.slots import LEASE_SECONDS, Request
from dataflow.store.store_places import find_place
from dataflow.worker.call_context import current_call, current_scope
from dataflow.worker.interruptible import uninterrupted

_FIRST_PAUSE_SECONDS = 0.005
_LAST_PAUSE_SECONDS = 0.25
_LOOK_SECONDS = 1.0  # at a process that may have vanished, which changes nothing in the store


class SlotKeeper:
    """The requests of this process in one store.

    Args:
        store: where they are.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._requests: set[int] = set()
        self._lock = threading.RLock()  # taken as it is: a condition's own way leaves it locked
        self._freed = threading.Condition(self._lock)  # when what waits is interrupted there
        self._returns = 0
        self._renewing: threading.Thread | None = None

    def acquire(self, slots: Mapping[str, int], timeout_seconds: float | None) -> int:
        """Wait for slots; the number to give them back with.

        Raises:
            AcquireConcurrencySlotTimeoutError: they were not free in time; nothing is held.
        """
        number = None
        try:
            with uninterrupted():
                number, granted = self._ask(slots)
            waiting = self._waiting(number, granted, slots, timeout_seconds)
            for pause in waiting:
                with self._lock:
                    self._freed.wait(pause)
        except BaseException:  # Ctrl-C and a cancellation as well: nobody would give them back
            if number is not None:
                self.give_back(number)
            raise
        return number

    async def acquire_async(self, slots: Mapping[str, int], timeout_seconds: float | None) -> int:
        """The same on an event loop."""
        import asyncio

        number, granted = self._ask(slots)
        try:
            for pause in self._waiting(number, granted, slots, timeout_seconds):
                await asyncio.sleep(pause)
        except BaseException:  # as above
            self.give_back(number)
            raise
        return number

    def give_back(self, number: int) -> None:
        """Give slots back, or wait no more for them."""
        with uninterrupted():
            with self._lock:
                self._requests.discard(number)
            self.store.slots.give_back(number)
            with self._lock:
                self._returns += 1
                self._freed.notify_all()

    def _ask(self, slots: Mapping[str, int]) -> tuple[int, bool]:
        number, granted = self.store.slots.ask(Request(slots, this_process(), _who()))
        with self._lock:
            self._requests.add(number)
            if self._renewing is None:
                self._renewing = threading.Thread(
                    target=self._renew, name="dataflow slots", daemon=True
                )
                self._renewing.start()
        return number, granted

    def _waiting(
        self, number: int, granted: bool, slots: Mapping[str, int], timeout_seconds: float | None
    ) -> Iterator[float]:
        """How long to pause, again and again, until a request is granted (or its limit is gone)."""
        begun = looked = time.monotonic()
        seen: Any = None
        pause = _FIRST_PAUSE_SECONDS
        while not granted:
            now = time.monotonic()
            left = float("inf") if timeout_seconds is None else begun + timeout_seconds - now
            state = self._returns, self.store.control.version()
            if state != seen or now - looked > _LOOK_SECONDS:
                seen, looked = state, now
                if self.store.slots.is_next(number) and self.store.slots.grant(number) is not False:
                    return
            if left <= 0:
                raise _too_late(slots, timeout_seconds or 0.0)
            yield min(pause * random.uniform(0.7, 1.3), left)
            pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)

    def _renew(self) -> None:
        while True:
            time.sleep(LEASE_SECONDS / 4)
            with self._lock:
                numbers = list(self._requests)
                if not numbers:
                    self._renewing = None
                    return
            try:
                self.store.slots.renew(numbers)
            except Exception:  # it may be possible again in time
                continue


def _who() -> str:
    """Who asks, for people to read."""
    call = current_call.get()
    if call is not None:
        return str(call.task_run_name)
    scope = current_scope.get()
    return str(scope.info.name) if scope is not None else "outside of runs"


def _too_late(slots: Mapping[str, int], seconds: float) -> AcquireConcurrencySlotTimeoutError:
    names = ", ".join(repr(name) for name in slots)
    return AcquireConcurrencySlotTimeoutError(
        f"The slots of {names} were not free within {seconds:g} second(s).",
        hint=f"See who holds them: dataflow limits inspect {next(iter(slots))}",
    )


def check_size(name: str, wanted: int, there_are: int) -> None:
    """See that a limit can ever give what is asked of it.

    Raises:
        ConcurrencySlotAcquisitionError: it cannot.
    """
    if wanted <= there_are:
        return
    said = "0, so nothing may begin" if there_are == 0 else str(there_are)
    raise ConcurrencySlotAcquisitionError(
        f"{wanted} slot(s) of limit {name!r} were asked for; its limit is {said}.",
        hint=f"Raise it: dataflow limits update {name} --limit {wanted}",
    )


_keeper: tuple[int, str, SlotKeeper] | None = None
_lock = threading.Lock()


def slot_keeper(address: StoreAddress | None = None) -> SlotKeeper:
    """The keeper for a store; None: that of the run that asks, also in its workers."""
    global _keeper
    wanted = address or _address_of_run()
    place = wanted.place if wanted is not None else find_place().address
    with _lock:
        if _keeper is None or _keeper[:2] != (os.getpid(), place):
            _keeper = os.getpid(), place, SlotKeeper(open_store_of_run(wanted))
        return _keeper[2]


def _address_of_run() -> StoreAddress | None:
    call, scope = current_call.get(), current_scope.get()
    info: RunInfo | None = call.run if call is not None else scope and scope.info
    return info.store if info is not None else None
