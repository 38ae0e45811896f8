"""What tasks do. Workers import it: a task is a function of a module, as in any project."""

from __future__ import annotations


def spin(iterations: int, *inputs: int) -> int:
    """Use the CPU for a number of turns; the value depends on every input."""
    for _ in range(iterations):
        pass
    return (1 + sum(inputs)) % 1_000_003
