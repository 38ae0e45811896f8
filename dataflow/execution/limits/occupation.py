"""Slots of limits that a ``with`` holds."""

from __future__ import annotations

import logging
from collections.abc import Collection

from dataflow.errors import ConcurrencySlotAcquisitionError
from dataflow.execution.limits.slots import SlotKeeper, check_size, slot_keeper
from dataflow.model.batches import StoreAddress
from dataflow.store.slots import Limit

_logger = logging.getLogger("dataflow.limits")


class Occupation:
    """Slots that are held from ``__enter__`` to ``__exit__``, if their limits are there.

    Args:
        names: the limits.
        occupy: how many slots of each.
        timeout_seconds: how long to wait at most; None: for ever.
        strict: whether a limit that is not there is an error.
        store: that of the limits; None: that of the run that asks.
    """

    def __init__(
        self,
        names: Collection[str],
        occupy: int = 1,
        timeout_seconds: float | None = None,
        strict: bool = False,
        store: StoreAddress | None = None,
    ) -> None:
        self._store = store
        self._names = names
        self._occupy = occupy
        self._timeout = timeout_seconds
        self._strict = strict
        self._held: list[tuple[SlotKeeper, int]] = []

    def __enter__(self) -> Occupation:
        keeper, slots = self._wanted()
        if slots:
            self._held.append((keeper, keeper.acquire(slots, self._timeout)))
        return self

    async def __aenter__(self) -> Occupation:
        keeper, slots = self._wanted()
        if slots:
            self._held.append((keeper, await keeper.acquire_async(slots, self._timeout)))
        return self

    def __exit__(self, *_exception: object) -> None:
        while self._held:
            keeper, number = self._held.pop()
            keeper.give_back(number)

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__(*exception)

    def _wanted(self) -> tuple[SlotKeeper, dict[str, int]]:
        keeper = slot_keeper(self._store)
        known = known_limits(keeper, self._names, self._strict)
        for name, limit in known.items():
            check_size(name, self._occupy, limit.slots)
        return keeper, dict.fromkeys(known, self._occupy)


def known_limits(keeper: SlotKeeper, names: Collection[str], strict: bool) -> dict[str, Limit]:
    """Those of some limits that are there and active.

    Raises:
        ConcurrencySlotAcquisitionError: one is not there (strict).
    """
    known = keeper.store.slots.known(names)
    missing = [name for name in names if name not in known]
    if missing and strict:
        raise ConcurrencySlotAcquisitionError(
            f"There is no limit {missing[0]!r}.",
            hint=f"Make it: dataflow limits create {missing[0]} --limit 1",
        )
    if missing:
        _logger.warning("There is no limit %s: nothing is limited by it.", ", ".join(missing))
    return {name: limit for name, limit in known.items() if limit.active}
