"""Variables, read and set. Who sets one holds its name, so that of many one is the first."""

from __future__ import annotations

import json
from collections.abc import Collection

from dataflow.store.database import FoundRow, Transaction
from dataflow.store.run_keys import run_key
from dataflow.store.summaries import VariableSummary


def variable(view: Transaction, name: str) -> VariableSummary | None:
    """The variable of that name."""
    row = view.row("variable", (name,))
    return None if row is None else _summary(row)


def variables(view: Transaction) -> list[VariableSummary]:
    """All variables, by name."""
    return sorted(map(_summary, view.rows("variables")), key=lambda found: found.name)


def set_variable(
    transaction: Transaction,
    name: str,
    value_json: str,
    tags: Collection[str],
    now_ns: int,
    overwrite: bool,
) -> bool:
    """Set a variable; False if it is there and may not be changed."""
    transaction.hold([run_key(f"variable {name}")])
    if not overwrite and variable(transaction, name) is not None:
        return False
    row = (name, value_json, json.dumps(list(tags)), now_ns, now_ns)
    transaction.change("put_variable", [row])
    return True


def delete_variable(transaction: Transaction, name: str) -> bool:
    """Delete a variable; False if there was none."""
    transaction.hold([run_key(f"variable {name}")])
    if variable(transaction, name) is None:
        return False
    transaction.change("delete_variable", [(name,)])
    return True


def _summary(row: FoundRow) -> VariableSummary:
    name, value_json, tags, created_ns, updated_ns = row
    return VariableSummary(name, tuple(json.loads(tags)), created_ns, updated_ns, value_json)
