"""What has been learnt of how long tasks take: a moving average for each task."""

from __future__ import annotations

from collections.abc import Iterable

_WEIGHT = 0.3


class CostBook:
    """Mean seconds and bytes of a task's elements, by the task's name."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._bytes: dict[str, float] = {}

    def learn(
        self, task: str, elements: int, seconds: float, value_bytes: float | None = None
    ) -> None:
        """Take in that ``elements`` of a task took ``seconds`` together.

        Args:
            task: its name.
            elements: how many; nothing is learnt from none.
            seconds: of all of them.
            value_bytes: of the value of one of them; None: it never left its worker.
        """
        if elements <= 0:
            return
        _blend(self._seconds, task, seconds / elements)
        if value_bytes is not None:
            self.learn_bytes(task, value_bytes)

    def learn_bytes(self, task: str, value_bytes: float) -> None:
        """Take in how large the value of one element of a task is."""
        _blend(self._bytes, task, value_bytes)

    def seconds(self, task: str) -> float | None:
        """Mean seconds of one element; None if none was seen."""
        return self._seconds.get(task)

    def bytes(self, task: str) -> float:
        """Mean bytes of one value; 0 if none was seen."""
        return self._bytes.get(task, 0.0)

    def total_bytes(self, tasks: Iterable[str]) -> float | None:
        """Bytes of one value of each of these; None if one of them was never seen."""
        total = 0.0
        for task in tasks:
            known = self._bytes.get(task)
            if known is None:
                return None
            total += known
        return total


def _blend(means: dict[str, float], task: str, value: float) -> None:
    before = means.get(task)
    means[task] = value if before is None else before + _WEIGHT * (value - before)
