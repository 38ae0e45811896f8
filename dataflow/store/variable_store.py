"""What a store promises for variables: values that programs share by name."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dataflow.store.summaries import VariableSummary


class VariableStore(Protocol):
    """Where variables are kept. Each call is one transaction, whoever else sets the same one."""

    def variable(self, name: str) -> VariableSummary | None:
        """The variable of that name; None if there is none."""

    def variables(self) -> list[VariableSummary]:
        """All of them, by name."""

    def set_variable(
        self, name: str, value_json: str, tags: Collection[str], now_ns: int, overwrite: bool
    ) -> bool:
        """Set a variable; False, and nothing is changed, if it is there and may not be changed."""

    def delete_variable(self, name: str) -> bool:
        """Delete a variable; False if there was none."""
