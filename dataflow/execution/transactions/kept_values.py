"""What task runs have set in transactions, for a run that goes on or is tried again."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

from dataflow.execution.transactions.rolling_back import reused_runs
from dataflow.graph.nodes import Node


class KeptValue:
    """A value that is unpickled when somebody asks for it.

    Args:
        data: it, pickled; None: it could not be.
    """

    def __init__(self, data: bytes | None) -> None:
        self._data = data

    def load(self, name: str) -> Any:
        """The value of that name.

        Raises:
            ValueError: it could not be kept, or not be made of what was kept.
        """
        if self._data is None:
            raise ValueError(
                f"The value {name!r} was set before the run went on, and was not kept: it cannot "
                "be pickled. Set what describes it instead, such as a path or an id."
            )
        try:
            return pickle.loads(self._data)
        except Exception as error:
            raise ValueError(
                f"The value {name!r} was set before the run went on, and cannot be unpickled: "
                f"{type(error).__name__}: {error}"
            ) from error


def values_by_index(node: Node) -> Callable[[int], Mapping[str, Any]]:
    """What the task runs of a node have set: here, or before where results were taken again."""
    graph, earlier, reused = node.graph, node.graph.results.earlier, reused_runs(node)

    def values(index: int) -> Mapping[str, Any]:
        if index in reused:
            kept = earlier.transaction_values.get((node.key, index), {})
            return {name: KeptValue(data) for name, data in kept.items()}
        found: Mapping[str, Any] = graph.transaction_values.get((node.id, index), {})
        return found

    return values
