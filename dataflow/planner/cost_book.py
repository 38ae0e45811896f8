"""What has been learnt of how long tasks take: a moving average for each task."""

from __future__ import annotations

_WEIGHT = 0.3


class CostBook:
    """Mean seconds and bytes of a task's elements, by the task's name."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._bytes: dict[str, float] = {}

    def learn(self, task: str, elements: int, seconds: float, nbytes: int = 0) -> None:
        """Take in that ``elements`` of a task took ``seconds`` together."""
        if elements <= 0:
            return
        _blend(self._seconds, task, seconds / elements)
        _blend(self._bytes, task, nbytes / elements)

    def seconds(self, task: str) -> float | None:
        """Mean seconds of one element; None if none was seen."""
        return self._seconds.get(task)

    def bytes(self, task: str) -> float:
        """Mean bytes of one value; 0 if none was seen."""
        return self._bytes.get(task, 0.0)


def _blend(means: dict[str, float], task: str, value: float) -> None:
    before = means.get(task)
    means[task] = value if before is None else before + _WEIGHT * (value - before)
