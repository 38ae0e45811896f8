"""Variables: values that programs share by name, kept in the store.

    from dataflow import Variable

    Variable.set("region", "eu", overwrite=True)
    Variable.get("region", default="us")

In flows, and in tasks on every runner, it is the store of the run that is asked; outside runs that
of the settings. What was set is there at once, for whoever asks next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow.clock import now_ns
from dataflow.errors import VariableError, VariableExists

if TYPE_CHECKING:
    from dataflow.store.run_store import RunStore

__all__ = ["Variable"]

_NAME = re.compile(r"[a-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable: its name, what it is set to, and its tags."""

    name: str
    value: Any
    tags: tuple[str, ...] = ()

    @classmethod
    def get(cls, name: str, default: Any = None) -> Any:
        """What a variable is set to; ``default`` if there is none of that name.

        Raises:
            VariableError: it is no name of a variable.
            StoreUnreachable: this is a task on a machine where the store of its run is not.
        """
        found = _store().variable(_checked(name))
        return default if found is None else found.value

    @classmethod
    def set(
        cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False
    ) -> Variable:
        """Set a variable.

        Args:
            name: lower case letters, digits, dashes and underscores.
            value: anything that JSON knows.
            tags: words to find it by.
            overwrite: whether one that is there may be changed.

        Raises:
            VariableExists: it is there, and ``overwrite`` is False.
            VariableError: the name or the value cannot be used.
            StoreUnreachable: as for :meth:`get`.
        """
        made = cls(_checked(name), value, _tags(tags))
        text = _as_json(name, value)
        if _is_rehearsal():
            return made
        if not _store().set_variable(name, text, made.tags, now_ns(), overwrite):
            raise VariableExists(
                f"The variable {name!r} is there already.",
                hint="Give overwrite=True to change it.",
                name=name,
            )
        return made

    @classmethod
    def unset(cls, name: str) -> bool:
        """Delete a variable; False if there was none.

        Raises:
            VariableError, StoreUnreachable: as for :meth:`get`.
        """
        return not _is_rehearsal() and _store().delete_variable(_checked(name))

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """As :meth:`get`, to be awaited."""
        import asyncio

        return await asyncio.to_thread(cls.get, name, default)

    @classmethod
    async def aset(
        cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False
    ) -> Variable:
        """As :meth:`set`, to be awaited."""
        import asyncio

        return await asyncio.to_thread(cls.set, name, value, tags, overwrite)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """As :meth:`unset`, to be awaited."""
        import asyncio

        return await asyncio.to_thread(cls.unset, name)


def _store() -> RunStore:
    from dataflow.execution.here import store_here

    return store_here()


def _is_rehearsal() -> bool:
    from dataflow.execution.here import is_rehearsal

    return is_rehearsal()


def _checked(name: str) -> str:
    given: Any = name
    if isinstance(given, str) and _NAME.fullmatch(given):
        return given
    raise VariableError(
        f"{name!r} cannot be the name of a variable.",
        hint="Names are made of lower case letters, digits, dashes and underscores.",
    )


def _tags(tags: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise VariableError(f"tags must be a list of strings, not the string {tags!r}.")
    return tuple(sorted(set(tags or ())))


def _as_json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise VariableError(
            f"The value of the variable {name!r} cannot be written as JSON: {error}.",
            hint="Give text, numbers, True, False, None, and lists and dicts of these.",
        ) from None
