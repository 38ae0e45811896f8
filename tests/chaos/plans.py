"""What is done in a round: it follows from a seed, as far as processes and clocks let it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.victims import FLOW, HARMLESS, KINDS, NANNY, WORKER

START, WORK, END = "start", "work", "end"
PHASES = (START, WORK, WORK, WORK, END)
_MOST_KILLS = 5
_MOST_HARMLESS = 2  # in a row: a call that three workers die at is to blame for it
_GOES_ON = 0.55


@dataclass(frozen=True)
class Kill:
    """One process is killed.

    Attributes:
        victim: of which kind.
        phase: when in the life of the flow's process: before its first call, during its calls,
            after its body has seen all of them end.
        moment: when within that, from 0 to 1.
        pick: which of several, from 0 to 1.
    """

    victim: str
    phase: str
    moment: float
    pick: float


@dataclass(frozen=True)
class Plan:
    """A round.

    Attributes:
        seed: what it follows from.
        runner: what the flow runs on, and what its result depends on: its size.
        kills: in their order. Where one ends the flow, the run is resumed and the next one comes
            while it is.
        by_command: whether a run is resumed by ``dataflow runs resume``, for each time.
    """

    seed: str
    runner: str
    size: int
    kills: tuple[Kill, ...]
    by_command: tuple[bool, ...] = (False, True) * _MOST_KILLS


def plan_round(seed: int, runner: str, number: int) -> Plan:
    """The round of that number."""
    name = f"{seed}/{runner}/{number}"
    chance = random.Random(name)
    size = chance.randint(40, 110)
    kills: list[Kill] = []
    while not kills or (len(kills) < _MOST_KILLS and chance.random() < _GOES_ON):
        victim = _allowed(chance.choice(KINDS[runner]), kills)
        kills.append(Kill(victim, chance.choice(PHASES), chance.random(), chance.random()))
    by_command = tuple(chance.random() < 0.5 for _ in range(_MOST_KILLS + 1))
    return Plan(name, runner, size, tuple(kills), by_command)


def _allowed(victim: str, kills: list[Kill]) -> str:
    in_a_row: list[str] = []
    for each in reversed(kills):
        if each.victim not in HARMLESS:
            break
        in_a_row.append(each.victim)
    if victim in HARMLESS and len(in_a_row) >= _MOST_HARMLESS:
        return FLOW
    if victim == NANNY and NANNY in in_a_row:  # one of two has to remain
        return WORKER
    return victim
