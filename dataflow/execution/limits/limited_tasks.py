"""Tasks whose runs take slots of limits on their tags, wherever a worker makes their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataflow.execution.limits.occupation import Occupation
    from dataflow.model.batches import StoreAddress


class LimitedTask:
    """A task as it is sent to workers: each call is made while slots are held for it.

    The wait for them is no part of the call: a time limit begins after it.
    """

    def __init__(self, task: Any, limits: tuple[str, ...], store: StoreAddress | None) -> None:
        self._task = task
        self._limits = limits
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def holding(self) -> Occupation:
        """Holds the slots of one call."""
        from dataflow.execution.limits.occupation import Occupation

        return Occupation(self._limits, store=self._store)

    def __reduce__(self) -> Any:
        return LimitedTask, (self._task, self._limits, self._store)


def limited(tasks: list[Any], limits: tuple[str, ...], store: StoreAddress | None) -> list[Any]:
    """The tasks of a batch, each call of which is under these limits."""
    return [LimitedTask(task, limits, store) for task in tasks]
