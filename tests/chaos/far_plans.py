"""What troubles a round on hosts has: it follows from a seed, as far as clocks let it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.troubles import TROUBLES

_MOST = 4
_GOES_ON = 0.6
_LARGE_BYTES = (1_500_000, 100_000_000)


@dataclass(frozen=True)
class Planned:
    """One trouble.

    Attributes:
        name: of which kind.
        moment: when it begins: after which share of the calls of an undisturbed run.
        pick: whom it meets, from 0 to 1.
    """

    name: str
    moment: float
    pick: float


@dataclass(frozen=True)
class FarPlan:
    """A round.

    Attributes:
        size, large_bytes: of the flow, and of its large values.
        troubles: in their order. After one that ends the run it goes on, on another cluster, with
            the next one.
    """

    size: int
    large_bytes: int
    troubles: tuple[Planned, ...]


def plan_far_round(seed: int, number: int, only: str | None = None) -> FarPlan:
    """The round of that number; ``only``: the one kind of trouble that it has."""
    chance = random.Random(f"{seed}/hosts/{number}")
    size = chance.randint(40, 90)
    large_bytes = chance.choice(_LARGE_BYTES)
    troubles: list[Planned] = []
    while not troubles or (len(troubles) < _MOST and chance.random() < _GOES_ON):
        name = only or _allowed(chance.choice(list(TROUBLES)), troubles)
        troubles.append(Planned(name, chance.random() * 0.8, chance.random()))
    return FarPlan(size, large_bytes, tuple(troubles))


def _allowed(name: str, before: list[Planned]) -> str:
    """Of the hosts of workers, most remain in each life."""
    for each in reversed(before):
        if TROUBLES[each.name].ends_run:
            break
        if TROUBLES[each.name].takes_host and TROUBLES[name].takes_host:
            return "flow killed"
    return name
