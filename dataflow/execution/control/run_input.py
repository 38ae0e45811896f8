"""What a run asks of whoever resumes it, and whether what was put in fits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dataflow.errors import DefinitionError, MissingContextError
from dataflow.execution.scope import RunScope
from dataflow.worker.call_context import current_call, current_scope

if TYPE_CHECKING:
    from pydantic import TypeAdapter

DOES_NOT_FIT = "What was put in does not fit"
"""How the message begins of a state in which a run waits again because of that."""


def check_patience(timeout_seconds: Any) -> None:
    """See that somebody has time to resume a run.

    Raises:
        DefinitionError: that is no time.
    """
    if not (isinstance(timeout_seconds, (int, float)) and timeout_seconds >= 0):
        raise DefinitionError(
            f"timeout must be a number of seconds, 0 or more, not {timeout_seconds!r:.60}."
        )


class WantedInput:
    """What has to be put in.

    Args:
        model: a pydantic model, or any other type that pydantic knows; None: nothing.

    Raises:
        DefinitionError: it is no type.
    """

    def __init__(self, model: Any) -> None:
        self._type: TypeAdapter[Any] | None = None
        if model is not None:
            self._type = _adapter(model)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing has to be put in."""
        return self._type is None

    def said(self) -> str:
        """What the message of the state says of it."""
        if self._type is None:
            return ""
        return f" It asks for {json.dumps(self._type.json_schema())}."

    def read(self, text: str | None) -> Any:
        """What was put in, from JSON.

        Raises:
            ValueError: it does not fit.
        """
        if self._type is None:
            return None
        if text is None:
            raise ValueError("nothing was put in")
        return self._type.validate_json(text)


def as_json(given: Any) -> str | None:
    """What is put in, as it is recorded; None: nothing is."""
    if given is None:
        return None
    from pydantic_core import to_json

    return to_json(given).decode()


def run_of_body(function: str) -> RunScope:
    """The run whose body this is called in.

    Args:
        function: what was called, for the error.

    Raises:
        MissingContextError: this is no body of a flow.
    """
    scope: RunScope | None = current_scope.get()
    if scope is None or current_call.get() is not None:
        raise MissingContextError(
            f"{function}() was called outside the body of a flow.",
            hint="Call it in a flow; a task cannot have the flow wait that it belongs to.",
        )
    return scope


def _adapter(model: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        if isinstance(model, str):
            raise TypeError("that is text")
        return TypeAdapter(model)
    except (PydanticUserError, TypeError) as error:
        raise DefinitionError(
            f"wait_for_input must be a model or another type, not {model!r:.60}.",
            hint="A run is paused and suspended in its own body; from outside it is cancelled "
            "(cancel_flow_run) and resumed.",
        ) from error
