"""How long the elements of a map take: uneven in several ways, the same in every run."""

from __future__ import annotations

import random

MEAN_SECONDS = 0.005
_SHAPE = 1.5
_SEED = 3

KINDS = ("constant", "lognormal", "rare", "ascending", "descending")


def durations(kind: str, n: int, mean_seconds: float = MEAN_SECONDS) -> list[float]:
    """Seconds of n elements, so many each on average."""
    weights = _weights(kind, n)
    unit = mean_seconds * n / sum(weights)
    return [weight * unit for weight in weights]


def _weights(kind: str, n: int) -> list[float]:
    if kind == "constant":
        return [1.0] * n
    if kind == "rare":
        return [100.0 if number % 100 == 50 else 1.0 for number in range(n)]
    chance = random.Random(_SEED)
    drawn = [chance.lognormvariate(0, _SHAPE) for _ in range(n)]
    return drawn if kind == "lognormal" else sorted(drawn, reverse=kind == "descending")
