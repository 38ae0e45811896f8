"""Graphs of the RSDS benchmarks (Böhm & Beránek 2020), made for any size."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.calls import Call
from benchmarks.tasks import doze

_FOLD = 4
"""Tasks of a fold of a cross validation: split, train, predict, score."""


def merge(n: int, seconds: float) -> list[Call]:
    """N tasks, and one that takes the values of all."""
    return [Call(doze, (seconds,))] * n + [Call(doze, (0,), tuple(range(n)))]


def tree(n: int, seconds: float) -> list[Call]:
    """N leaves, reduced by two and two to one; n is a power of two."""
    calls = [Call(doze, (seconds,))] * n
    pairs = [Call(doze, (seconds,), (2 * number, 2 * number + 1)) for number in range(n - 1)]
    return calls + pairs


def cross_validation(n: int, seconds: float) -> list[Call]:
    """One task that loads, n chains of four that begin with what it gives, one that takes all."""
    calls = [Call(doze, (seconds,))]
    for _ in range(n):
        for step in range(_FOLD):
            calls.append(Call(doze, (seconds,), (len(calls) - 1 if step else 0,)))
    return [*calls, Call(doze, (seconds,), tuple(range(_FOLD, len(calls), _FOLD)))]


GRAPHS: dict[str, tuple[Callable[[int, float], list[Call]], float]] = {
    "merge": (merge, 0),
    "merge_large": (merge, 0),
    "merge_slow": (merge, 0.010),
    "tree": (tree, 0),
    "crossv": (cross_validation, 0.100),
}
"""By name: what makes it, and the seconds of each task."""
