"""Which runs a listing asks for, as SQL conditions; and what to say when none, or several, are it.

State filters take types (``FAILED``, or in lower case) and names (``TimedOut``, or in lower case
where no type is called so): ``FAILED`` finds TimedOut runs too, ``Failed`` only those named so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from types import EllipsisType
from typing import Any

from dataflow.clock import ns_of
from dataflow.errors import RunNotFound
from dataflow.model.states import StateCode, StateType

Conditions = list[tuple[str, Sequence[Any]]]


def run_conditions(
    *,
    name: str | None = None,
    flow_name: str | None = None,
    state: Collection[str] | None = None,
    started_after: datetime | None = None,
    started_before: datetime | None = None,
    parent_run_id: str | EllipsisType | None = ...,
    tags: Collection[str] = (),
) -> Conditions:
    """Conditions with their values, all of which a run must fulfil."""
    conditions: Conditions = []
    if name is not None:
        conditions.append(("name = ?", (name,)))
    if flow_name is not None:
        conditions.append(("flow_name = ?", (flow_name,)))
    if state is not None:
        conditions.append(_state_condition(state))
    if started_after is not None:
        conditions.append(("created_ns > ?", (moment_ns(started_after),)))
    if started_before is not None:
        conditions.append(("created_ns < ?", (moment_ns(started_before),)))
    if parent_run_id is None:
        conditions.append(("parent_run_id IS NULL", ()))
    elif parent_run_id is not ...:
        conditions.append(("parent_run_id = ?", (parent_run_id,)))
    for tag in [tags] if isinstance(tags, str) else tags:
        conditions.append(("/*has_tag*/", (json.dumps(tag),)))
    return conditions


def _state_condition(wanted: Collection[str]) -> tuple[str, Sequence[Any]]:
    types, names = split_states([wanted] if isinstance(wanted, str) else wanted)
    parts = [
        f"{column} IN ({', '.join('?' * len(values))})"
        for column, values in (("state_type", types), ("state_name", names))
        if values
    ]
    return f"({' OR '.join(parts)})" if parts else "1 = 0", [*types, *names]


def split_states(wanted: Collection[str]) -> tuple[list[str], list[str]]:
    """The state types and the state names among some words."""
    named = {code.state_name.lower(): code.state_name for code in StateCode}
    types, names = [], []
    for word in wanted:
        word = str(getattr(word, "value", word))
        if word.upper() in StateType.__members__ and word in (word.upper(), word.lower()):
            types.append(word.upper())
        else:
            names.append(named.get(word, word))
    return types, names


def where(conditions: Conditions) -> tuple[str, list[Any]]:
    """A WHERE clause (or nothing) and its values."""
    if not conditions:
        return "", []
    clause = "WHERE " + " AND ".join(text for text, _ in conditions)
    return clause, [_askable(value) for _, values in conditions for value in values]


def _askable(value: Any) -> Any:
    """The value; text that no database can hold becomes text that is not there."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return value


def after_prefix(prefix: str) -> str:
    """The text before which everything that begins with ``prefix`` sorts."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def no_name(wanted: object) -> RunNotFound:
    """A run was asked for by something that is no text."""
    return RunNotFound(
        f"A run is found by its id or its name, not by what is of type {type(wanted).__name__}.",
        hint="Give run.id.",
    )


def not_found(wanted: str, known: Collection[str], store: str) -> RunNotFound:
    """No run of a store goes by that; ``known`` are names that may have been meant."""
    from difflib import get_close_matches

    close = get_close_matches(wanted, set(known), n=3)
    hint = (
        "`dataflow runs ls` lists the runs there; DATAFLOW_STORE_URL or DATAFLOW_HOME names "
        "another store."
    )
    if close:
        hint = f"Did you mean {' or '.join(map(repr, close))}? {hint}"
    text = f"There is no run with the id or name {wanted!r} in the store {store}."
    return RunNotFound(text, hint=hint, wanted=wanted, candidates=close, store=store)


def ambiguous(wanted: str, found: Sequence[tuple[str, str, str]]) -> RunNotFound:
    """Several runs go by that; ``found`` has id, flow and name of each."""
    lines = "".join(f"\n  {run_id}  {name} ({flow})" for run_id, flow, name in found[:8])
    more = "\n  and more" if len(found) > 8 else ""
    return RunNotFound(
        f"{wanted!r} means more than one run:{lines}{more}",
        hint="Give one of these ids.",
        wanted=wanted,
        candidates=[run_id for run_id, _, _ in found],
    )


def moment_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch; a datetime without a zone is meant in local time."""
    return ns_of(moment if moment.tzinfo is not None else moment.astimezone())
