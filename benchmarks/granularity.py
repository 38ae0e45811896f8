"""METG(50 %): the shortest tasks with which half of the workers' time goes into the tasks.

The task is a loop of pure Python, so its length is CPU time. Lengths go down, from one that is long
enough, until one is too short, and the last two are interpolated. They change in small steps: a
runtime that learns how long tasks are has learnt it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

from benchmarks.tasks import spin

ENOUGH = 0.5
FACTOR = 1.5
LONG_SECONDS = 2.0
TRIES = 3
FIRST_SECONDS, LONGEST_SECONDS = 0.001, 0.040
_CALIBRATION_TURNS, _CALIBRATIONS = 2_000_000, 5


def smallest_length(
    prepare: Callable[[int], Callable[[], object]], tasks: int, workers: int
) -> float:
    """Seconds of the shortest tasks that keep an efficiency of 50 %.

    Args:
        prepare: given the number of turns of each task, what carries all of them out.
        tasks: how many they are.
        workers: how many can be carried out at once.
    """
    turn_seconds = seconds_of_a_turn()

    def efficiency(length: float) -> float:
        turns = max(1, round(length / turn_seconds))
        return tasks * turns * turn_seconds / workers / best_seconds(prepare(turns))

    return descend(efficiency, FIRST_SECONDS)


def descend(efficiency: Callable[[float], float], length: float) -> float:
    """The length at which the efficiency is 50 %, from above; `length` is where to begin.

    Raises:
        RuntimeError: no length that can be tried in time is enough.
    """
    longer, found = length, efficiency(length)
    while found < ENOUGH:
        # what a task costs besides hardly depends on its length: as long as that is half
        longer = max(longer * FACTOR, longer * (1 / found - 1))
        if longer > LONGEST_SECONDS:
            raise RuntimeError(f"less than 50 % even with tasks of {LONGEST_SECONDS * 1000:.0f} ms")
        found = efficiency(longer)
    while True:
        shorter = longer / FACTOR
        next_found = efficiency(shorter)
        if next_found < ENOUGH:
            share = (found - ENOUGH) / (found - next_found)
            return longer * math.pow(shorter / longer, share)
        longer, found = shorter, next_found


def seconds_of_a_turn() -> float:
    """What a turn of the loop takes here, at best."""
    turns = _CALIBRATION_TURNS
    best = min(seconds_of(lambda: spin(turns)) for _ in range(_CALIBRATIONS))
    return best / turns


def best_seconds(work: Callable[[], object]) -> float:
    """The best of three runs: what disturbs one is not the runtime's. Long ones are made once."""
    best = seconds_of(work)
    return best if best > LONG_SECONDS else min(best, *(seconds_of(work) for _ in range(TRIES - 1)))


def seconds_of(work: Callable[[], object]) -> float:
    """The wall time of something."""
    started = perf_counter()
    work()
    return perf_counter() - started
