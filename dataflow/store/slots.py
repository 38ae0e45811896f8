"""What a store does for limits: slots are asked for, granted in the order of asking, given back.

All of it is decided in transactions of the store, so that any number of processes agree. A request
for several limits is granted whole or not at all, so that nobody holds one and waits for another.
What a process held or waited for that is gone is free: at once where it can be seen to be gone,
elsewhere when its lease has run out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from dataflow.process_ids import ProcessId

LEASE_SECONDS = 60.0


class Limit(NamedTuple):
    """A limit, as it is now.

    Attributes:
        name: what it is called; ``tag:<tag>`` limits task runs with that tag.
        slots: how many there are.
        slot_decay_per_second: how many become free a second; 0 where they are given back.
        active: whether it limits anything at present.
        created: since when it is there.
        held, waiting: slots that are held, and requests that wait.
    """

    name: str
    slots: int
    slot_decay_per_second: float
    active: bool
    created: datetime
    held: int = 0
    waiting: int = 0


class Holder(NamedTuple):
    """Somebody who holds slots of a limit, or waits for them."""

    holder: str
    slots: int
    granted: bool
    since: datetime
    process: ProcessId


class Request(NamedTuple):
    """Slots that somebody asks for.

    Attributes:
        slots: by the name of the limit.
        process: where it is asked.
        holder: who asks, for people to read.
    """

    slots: Mapping[str, int]
    process: ProcessId
    holder: str


class Slots(Protocol):
    """The limits of a store."""

    def create(self, name: str, slots: int, decay: float, active: bool) -> bool:
        """Make a limit; False: there is one of that name."""

    def change(
        self, name: str, slots: int | None, decay: float | None, active: bool | None
    ) -> bool:
        """Change what is given; False: there is no such limit."""

    def delete(self, name: str) -> bool:
        """Remove a limit and all that is asked of it; False: there is none."""

    def limits(self) -> list[Limit]:
        """All limits by name."""

    def holders(self, name: str) -> list[Holder]:
        """Who holds slots of a limit or waits for them, in the order of asking."""

    def tag_limits(self) -> frozenset[str]:
        """The names of the active limits that are on tags."""

    def known(self, names: Collection[str]) -> dict[str, Limit]:
        """Those of some limits that there are."""

    def ask(self, request: Request) -> tuple[int, bool]:
        """Ask for slots, behind all who have asked before; the request, and if it was granted."""

    def is_next(self, number: int) -> bool:
        """Whether a request may be grantable now; nothing is written to find out."""

    def grant(self, number: int) -> bool | None:
        """Grant a request if that can be; None: it is gone, as its limit or its lease is."""

    def give_back(self, number: int) -> None:
        """Give back the slots of a request, or ask no more for them."""

    def renew(self, numbers: Collection[int]) -> None:
        """The process that has these requests lives."""

    def reserve(self, slots: Mapping[str, int], patience_seconds: float | None) -> float | None:
        """Take slots of limits on rates; after so many seconds they are there.

        None: that would be later than the patience lasts; nothing was taken.
        """
