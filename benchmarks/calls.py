"""Graphs of calls, each with the numbers of those before it whose values it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One task: its own arguments come first, then the values of other calls."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    dependencies: tuple[int, ...] = ()
    """Their numbers in the graph: they stand before this one."""


def carry_out(calls: Sequence[Call]) -> list[Any]:
    """All values, one call after another, in this process."""
    values: list[Any] = []
    for function, arguments, dependencies in calls:
        values.append(function(*arguments, *(values[number] for number in dependencies)))
    return values
