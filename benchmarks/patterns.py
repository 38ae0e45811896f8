"""The dependence patterns of Task Bench (Slaughter et al., SC 2020): a grid of tasks.

Step 0 depends on nothing; each task of a later step depends on some of the step before it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from benchmarks.calls import Call
from benchmarks.tasks import spin

WIDTH = 16
RADIX = 5


def _nearest(_step: int, place: int) -> list[int]:
    return list(range(place - (RADIX - 1) // 2, place + RADIX // 2 + 1))


def _spread(step: int, place: int) -> list[int]:
    return [(place + k * WIDTH // RADIX + (step if k else 0)) % WIDTH for k in range(RADIX)]


def _random_nearest(step: int, place: int) -> list[int]:
    chance = random.Random(f"{step},{place}")
    return [near for near in _nearest(step, place) if chance.random() < 0.5]


def _fft(step: int, place: int) -> list[int]:
    distance = 1 << (step - 1) % int(math.log2(WIDTH))
    return [place - distance, place, place + distance]


PATTERNS: dict[str, Callable[[int, int], list[int]]] = {
    "trivial": lambda step, place: [],
    "no_comm": lambda step, place: [place],
    "stencil_1d": lambda step, place: [place - 1, place, place + 1],
    "stencil_1d_periodic": lambda step, place: [(place + k) % WIDTH for k in (-1, 0, 1)],
    "fft": _fft,
    "tree": lambda step, place: [place // 2],
    "dom": lambda step, place: [place - 1, place],
    "all_to_all": lambda step, place: list(range(WIDTH)),
    "nearest": _nearest,
    "spread": _spread,
    "random_nearest": _random_nearest,
}
"""By name: the places in the step before that a task takes; those outside the grid are left out."""


def dependencies(pattern: str, step: int, place: int) -> list[int]:
    """The places in the step before whose values a task takes."""
    if step == 0:
        return []
    return sorted(near for near in set(PATTERNS[pattern](step, place)) if 0 <= near < WIDTH)


def pattern_calls(pattern: str, steps: int, iterations: int) -> list[Call]:
    """The whole grid, step by step."""
    return [
        Call(spin, (iterations,), tuple((step - 1) * WIDTH + near for near in found))
        for step in range(steps)
        for place in range(WIDTH)
        for found in [dependencies(pattern, step, place)]
    ]
