"""Limits and their slots, in any database: see :class:`dataflow.store.slots.Slots`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from dataflow.clock import datetime_of
from dataflow.process_ids import ProcessId, is_gone
from dataflow.store.database import Database, FoundRow, Transaction
from dataflow.store.run_keys import run_key
from dataflow.store.slots import LEASE_SECONDS, Holder, Limit, Request
from dataflow.store.store_clock import store_now_ns

_LEASE_NS = int(LEASE_SECONDS * 1e9)


class _Row(NamedTuple):
    """One row of what is asked of a limit."""

    request: int
    slots: int
    granted: int
    expires_ns: int
    place: str
    pid: int
    started: str
    holder: str
    since_ns: int

    @property
    def process(self) -> ProcessId:
        return ProcessId(self.place, self.pid, self.started)

    def is_over(self, now: int) -> bool:
        """Whether its process is gone, as far as can be told."""
        gone = is_gone(self.process)
        return self.expires_ns < now if gone is None else gone


class DatabaseSlots:
    """The limits in ``database``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, slots: int, decay: float, active: bool) -> bool:
        """See :meth:`Slots.create`."""

        def create(transaction: Transaction) -> bool:
            if _hold(transaction, name):
                return False
            row = (name, slots, float(decay), int(active), store_now_ns(transaction))
            transaction.change("create_limit", [row])
            return True

        return self._database.write(create)

    def change(
        self, name: str, slots: int | None, decay: float | None, active: bool | None
    ) -> bool:
        """See :meth:`Slots.change`."""

        def change(transaction: Transaction) -> bool:
            if not _hold(transaction, name):
                return False
            row = (slots, decay, None if active is None else int(active), name)
            transaction.change("change_limit", [row])
            return True

        return self._database.write(change)

    def delete(self, name: str) -> bool:
        """See :meth:`Slots.delete`."""

        def delete(transaction: Transaction) -> bool:
            is_known = _hold(transaction, name)
            for statement in ("delete_requests", "delete_limit"):
                transaction.change(statement, [(name,)])
            return is_known

        return self._database.write(delete)

    def limits(self) -> list[Limit]:
        """See :meth:`Slots.limits`."""

        def limits(view: Transaction) -> list[Limit]:
            now = store_now_ns(view)
            return [_limit(row, now) for row in view.rows("limits")]

        return self._database.read(limits)

    def holders(self, name: str) -> list[Holder]:
        """See :meth:`Slots.holders`."""
        rows = self._database.read(lambda view: _requests(view, name))
        return [
            Holder(row.holder, row.slots, bool(row.granted), datetime_of(row.since_ns), row.process)
            for row in rows
        ]

    def tag_limits(self) -> frozenset[str]:
        """See :meth:`Slots.tag_limits`."""
        return frozenset(
            row[0] for row in self._database.read(lambda view: view.rows("tag_limits"))
        )

    def known(self, names: Collection[str]) -> dict[str, Limit]:
        """See :meth:`Slots.known`."""
        return self._database.read(lambda view: _known(view, names, store_now_ns(view)))

    def ask(self, request: Request) -> tuple[int, bool]:
        """See :meth:`Slots.ask`."""
        return self._database.write(lambda transaction: _ask(transaction, request))

    def is_next(self, number: int) -> bool:
        """See :meth:`Slots.is_next`."""
        return self._database.read(lambda view: _can_be_granted(view, number) is not False)

    def grant(self, number: int) -> bool | None:
        """See :meth:`Slots.grant`."""

        def grant(transaction: Transaction) -> bool | None:
            _hold_all(transaction, [row[0] for row in transaction.rows("request", (number,))])
            return _grant(transaction, number)

        return self._database.write(grant)

    def give_back(self, number: int) -> None:
        """See :meth:`Slots.give_back`."""
        self._database.write(lambda transaction: transaction.change("drop_request", [(number,)]))

    def renew(self, numbers: Collection[int]) -> None:
        """See :meth:`Slots.renew`."""

        def renew(transaction: Transaction) -> None:
            until = store_now_ns(transaction) + _LEASE_NS
            transaction.change("renew", [(until, number) for number in sorted(numbers)])

        self._database.write(renew)

    def reserve(self, slots: Mapping[str, int], patience_seconds: float | None) -> float | None:
        """See :meth:`Slots.reserve`."""
        return self._database.write(lambda each: _reserve(each, slots, patience_seconds))


def _hold(transaction: Transaction, name: str) -> bool:
    """Be the only one who changes a limit; whether it is there."""
    _hold_all(transaction, [name])
    return transaction.row("limit", (name,)) is not None


def _hold_all(transaction: Transaction, names: Collection[str]) -> None:
    transaction.hold([run_key(f"limit {name}") for name in names])


def _limit(row: FoundRow, now: int) -> Limit:
    name, slots, decay, active, created_ns, free_ns, *counts = row
    held, waiting = counts or (0, 0)
    if decay:
        held += _taken(decay, free_ns, now)
    return Limit(name, slots, decay, bool(active), datetime_of(created_ns), held, waiting)


def _taken(decay: float, free_ns: int, now: int) -> int:
    """The slots of a limit on a rate that are not free."""
    return int(-(-max(free_ns - now, 0) / 1e9 * decay // 1))


def _known(view: Transaction, names: Collection[str], now: int) -> dict[str, Limit]:
    rows = [view.row("limit", (name,)) for name in names]
    return {row[0]: _limit(row, now) for row in rows if row is not None}


def _requests(view: Transaction, name: str) -> list[_Row]:
    return [_Row(*row) for row in view.rows("requests", (name,))]


def _ask(transaction: Transaction, request: Request) -> tuple[int, bool]:
    _hold_all(transaction, request.slots)  # before there is a number: they are in the same order
    transaction.change("count_request", [()])
    ((number,),) = transaction.rows("last_request")
    now = store_now_ns(transaction)
    asks = (now + _LEASE_NS, *request.process, request.holder, now)
    rows = [(number, name, slots, *asks) for name, slots in request.slots.items()]
    transaction.change("add_request", rows)
    return number, bool(_grant(transaction, number))


def _grant(transaction: Transaction, number: int) -> bool | None:
    can_be = _can_be_granted(transaction, number, clears=True)
    if can_be:
        transaction.change("grant", [(store_now_ns(transaction), number)])
    return can_be


def _can_be_granted(transaction: Transaction, number: int, clears: bool = False) -> bool | None:
    """Whether a request can be granted; None: there is no such request.

    Args:
        transaction: on the store; if it clears, it holds the limits of the request.
        number: the request.
        clears: remove the requests of processes that are gone.
    """
    wanted = transaction.rows("request", (number,))
    if not wanted:
        return None
    now = store_now_ns(transaction)
    limits = _known(transaction, [name for name, *_ in wanted], now)
    for name, slots, granted in wanted:
        limit = limits.get(name)
        if granted or limit is None or not limit.active:
            continue
        ahead = 0
        for row in _requests(transaction, name):
            if row.request != number and row.is_over(now):
                if clears:
                    transaction.change("drop_request", [(row.request,)])
            elif row.granted:
                ahead += row.slots
            elif row.request < number:
                return False  # somebody asked before
        if ahead + slots > limit.slots:
            return False
    return True


def _reserve(
    transaction: Transaction, slots: Mapping[str, int], patience_seconds: float | None
) -> float | None:
    _hold_all(transaction, slots)
    now = store_now_ns(transaction)
    wait_ns, free = 0, []
    for name, wanted in slots.items():
        row = transaction.row("limit", (name,))
        if row is None or not row[3]:
            continue
        _, capacity, decay, _, _, free_ns = row
        later = max(free_ns, now) + round(wanted / decay * 1e9)
        wait_ns = max(wait_ns, later - now - round(capacity / decay * 1e9))
        free.append((later, name))
    if patience_seconds is not None and wait_ns > patience_seconds * 1e9:
        return None
    transaction.change("take_rate", free)
    return wait_ns / 1e9
