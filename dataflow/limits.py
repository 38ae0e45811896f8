"""Limits on what goes on at once, or in a time, in all runs of a store together.

    from dataflow import concurrency, rate_limit

    with concurrency("database"):
        ...
    rate_limit("api")

A limit is made with ``dataflow limits create`` or :func:`create_limit`; one named ``tag:gpu``
limits the task runs with the tag ``gpu``. Where there is no such limit, nothing is limited.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from dataflow.errors import AcquireConcurrencySlotTimeoutError, LimitError
from dataflow.execution.limits.occupation import Occupation, known_limits
from dataflow.execution.limits.slots import check_size, slot_keeper
from dataflow.store.run_store import open_store
from dataflow.store.slots import Holder, Limit

__all__ = [
    "concurrency",
    "rate_limit",
    "create_limit",
    "update_limit",
    "delete_limit",
    "limits",
    "limit_holders",
    "Holder",
    "Limit",
    "Occupation",
]

Names = str | Collection[str]
_MOST_SLOTS = 2**31


def concurrency(
    names: Names,
    occupy: int = 1,
    timeout_seconds: float | None = None,
    *,
    strict: bool = False,
) -> Occupation:
    """Hold slots of limits in a ``with`` (or ``async with``), after waiting until they are free.

    Who has asked first is served first. Slots of a process that is gone are free again.

    Args:
        names: a limit, or several, which are given all at once.
        occupy: how many slots of each.
        timeout_seconds: how long to wait at most; None: for ever.
        strict: whether a limit that does not exist is an error.

    Raises:
        LimitError: the numbers cannot be.
        ConcurrencySlotAcquisitionError: a limit has fewer slots than asked for, or (strict) is not
            there.
        AcquireConcurrencySlotTimeoutError: they were not free in time.
    """
    _check_timeout(timeout_seconds)
    return Occupation(_listed(names), _checked(occupy), timeout_seconds, strict)


def rate_limit(
    names: Names,
    occupy: int = 1,
    timeout_seconds: float | None = None,
    *,
    strict: bool = False,
) -> Any:
    """Wait for one's turn under limits on a rate; in ``async`` code it is to be awaited.

    Args:
        names: a limit, or several, with a ``slot_decay_per_second``.
        occupy: how many slots of each are taken; they become free by themselves.
        timeout_seconds: how long to wait at most; it is known at once if that is not enough.
        strict: whether a limit that does not exist is an error.

    Raises:
        LimitError: a limit is not one on a rate, or the numbers cannot be.
        ConcurrencySlotAcquisitionError: a limit has fewer slots than asked for, or (strict) is not
            there.
        AcquireConcurrencySlotTimeoutError: it would take longer than that.
    """
    _check_timeout(timeout_seconds)
    seconds = _reserve(_listed(names), _checked(occupy), timeout_seconds, strict)
    from dataflow.worker.async_calls import is_in_async_code

    if is_in_async_code():
        return _sleep(seconds)
    time.sleep(seconds)
    return None


def _sleep(seconds: float) -> Awaitable[None]:
    import asyncio

    return asyncio.sleep(seconds)


def _reserve(names: list[str], occupy: int, timeout_seconds: float | None, strict: bool) -> float:
    keeper = slot_keeper()
    known = known_limits(keeper, names, strict)
    for name, limit in known.items():
        check_size(name, occupy, limit.slots)
        if not limit.slot_decay_per_second:
            raise LimitError(
                f"Limit {name!r} is not one on a rate: its slots do not become free by themselves.",
                hint=f"Give it a rate: dataflow limits update {name} --slot-decay-per-second 5",
            )
    seconds = keeper.store.slots.reserve(dict.fromkeys(known, occupy), timeout_seconds)
    if seconds is None:
        raise AcquireConcurrencySlotTimeoutError(
            f"The rate of {', '.join(map(repr, known))} allows no more within "
            f"{timeout_seconds or 0:g} second(s).",
            hint="Wait longer, or raise --slot-decay-per-second.",
        )
    return seconds


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(dict.fromkeys(names))


def _checked(occupy: int) -> int:
    if not _is_whole(occupy, 1):
        raise LimitError(f"occupy must be a whole number, 1 or more, not {occupy!r:.60}.")
    return occupy


def _is_whole(number: Any, least: int) -> bool:
    return isinstance(number, int) and least <= number <= _MOST_SLOTS


def _check_timeout(seconds: Any) -> None:
    if seconds is not None and not (isinstance(seconds, (int, float)) and seconds >= 0):
        raise LimitError(
            f"timeout_seconds must be a number, 0 or more, not {seconds!r:.60}.",
            hint="0 waits not at all, and without it there is no end to the waiting.",
        )


# --- making them ---------------------------------------------------------------------------------


def create_limit(
    name: str,
    limit: int,
    *,
    slot_decay_per_second: float = 0.0,
    active: bool = True,
    store: str | Path | None = None,
) -> None:
    """Make a limit.

    Args:
        name: what it is called; ``tag:<tag>`` limits task runs with that tag.
        limit: how many slots it has; 0 lets nothing begin.
        slot_decay_per_second: of a limit on a rate, how many slots become free a second.
        active: whether it limits anything for now.
        store: path or URL of the store; None: that of the settings.

    Raises:
        LimitError: there is one of that name, or it cannot be so.
    """
    _check(name, limit, slot_decay_per_second)
    with closing(open_store(store)) as opened:
        is_new = opened.slots.create(name, limit, slot_decay_per_second, active)
    if not is_new:
        raise LimitError(
            f"There is a limit {name!r} already.",
            hint=f"Change it: dataflow limits update {name} --limit {limit}",
        )


def update_limit(
    name: str,
    limit: int | None = None,
    *,
    slot_decay_per_second: float | None = None,
    active: bool | None = None,
    store: str | Path | None = None,
) -> None:
    """Change of a limit what is given; who holds slots keeps them.

    Raises:
        LimitError: there is none, or it cannot be so.
    """
    _check(name, limit or 0, slot_decay_per_second or 0.0)
    with closing(open_store(store)) as opened:
        is_known = opened.slots.change(name, limit, slot_decay_per_second, active)
    if not is_known:
        raise _missing(name)


def delete_limit(name: str, *, store: str | Path | None = None) -> None:
    """Remove a limit; who waits for it goes on.

    Raises:
        LimitError: there is none.
    """
    with closing(open_store(store)) as opened:
        is_known = opened.slots.delete(name)
    if not is_known:
        raise _missing(name)


def limits(*, store: str | Path | None = None) -> list[Limit]:
    """All limits by name, with what is held of them and how many wait."""
    with closing(open_store(store)) as opened:
        return opened.slots.limits()


def limit_holders(name: str, *, store: str | Path | None = None) -> list[Holder]:
    """Who holds slots of a limit or waits for them, in the order of asking.

    Raises:
        LimitError: there is none.
    """
    with closing(open_store(store)) as opened:
        if not opened.slots.known([name]):
            raise _missing(name)
        return opened.slots.holders(name)


def _missing(name: str) -> LimitError:
    return LimitError(f"There is no limit {name!r}.", hint="See dataflow limits ls.")


def _check(name: str, limit: int, decay: float) -> None:
    if not name.strip() or name.strip() == "tag:":
        raise LimitError("A limit needs a name.")
    if not _is_whole(limit, 0):
        raise LimitError(
            f"The limit of {name!r} must be a whole number, 0 or more, not {limit!r:.60}."
        )
    if not 0 <= decay < math.inf:
        raise LimitError(f"slot_decay_per_second must be 0 or more, and finite, not {decay:g}.")
