"""A run that waits for somebody: Paused until it is resumed, with what was put in, if it asks.

Its process goes on meanwhile, and so do the tasks that were submitted before.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from dataflow.errors import FlowPauseTimeout, MissingContextError
from dataflow.execution.scope import RunScope, record_state
from dataflow.model.states import State, StateCode
from dataflow.worker.call_context import current_call, current_scope

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SPELL_SECONDS = 0.5  # so that an interruption is not waited for


class Pause:
    """One pause of the run whose body this is made in.

    Args:
        model: what has to be put in when it is resumed: a pydantic model, or any other type that
            pydantic knows; None: nothing.
        timeout_seconds: how long it may last.

    Raises:
        MissingContextError: this is no body of a flow.
    """

    def __init__(self, model: Any, timeout_seconds: float) -> None:
        scope: RunScope | None = current_scope.get()
        if scope is None or current_call.get() is not None:
            raise MissingContextError(
                "pause_flow_run() was called outside the body of a flow.",
                hint="Call it in a flow; a task cannot pause the flow that it belongs to.",
            )
        self.scope = scope
        self.type: TypeAdapter[Any] | None = None
        if model is not None:
            from pydantic import TypeAdapter

            self.type = TypeAdapter(model)
        self.timeout_seconds = timeout_seconds
        self.deadline = time.monotonic() + timeout_seconds

    def begin(self, why: str = "Somebody has to resume it.") -> threading.Event:
        """Enter Paused; the event is set when somebody has resumed it."""
        self.scope.resumed = threading.Event()
        wanted = f" It asks for {self._described()}." if self.type is not None else ""
        state = State.of_code(StateCode.PAUSED, message=why + wanted)
        record_state(self.scope, state, self.scope.info.run_count)
        return self.scope.resumed

    def _described(self) -> str:
        assert self.type is not None
        return json.dumps(self.type.json_schema())

    def wait(self) -> Any:
        """Wait until it is resumed; what was put in.

        Raises:
            FlowPauseTimeout: nobody has resumed it in time.
        """
        event = self.begin()
        while True:
            while not event.wait(min(_SPELL_SECONDS, max(self.left(), 0))):
                self.check_time()
            found = self.end()
            if found is not None:
                return found[0]
            assert self.scope.resumed is not None
            event = self.scope.resumed

    async def wait_async(self) -> Any:
        """The same on an event loop."""
        import asyncio

        event = await asyncio.to_thread(self.begin)
        while True:
            while not event.is_set():
                await asyncio.sleep(_SPELL_SECONDS / 5)
                self.check_time()
            found = await asyncio.to_thread(self.end)
            if found is not None:
                return found[0]
            assert self.scope.resumed is not None
            event = self.scope.resumed

    def left(self) -> float:
        """Seconds until it has lasted too long."""
        return self.deadline - time.monotonic()

    def check_time(self) -> None:
        """See that it has not lasted too long.

        Raises:
            FlowPauseTimeout: it has.
        """
        if self.left() > 0:
            return
        record_state(self.scope, State.of_code(StateCode.RUNNING), self.scope.info.run_count)
        raise FlowPauseTimeout(
            f"Flow run {self.scope.info.name!r} was paused, and nobody resumed it within "
            f"{self.timeout_seconds:g} second(s).",
            hint=f"Resume it: dataflow runs resume {self.scope.info.name}",
        )

    def end(self) -> tuple[Any] | None:
        """It was resumed: go on with what was put in, or pause again if that does not fit."""
        try:
            found = self._read(self.scope.put_in)
        except ValueError as error:
            self.scope.say(logging.WARNING, f"It was not resumed: {error}")
            self.begin(f"What was put in does not fit: {error}.")
            return None
        record_state(self.scope, State.of_code(StateCode.RUNNING), self.scope.info.run_count)
        return (found,)

    def _read(self, text: str | None) -> Any:
        if self.type is None:
            return None
        if text is None:
            raise ValueError("nothing was put in")
        return self.type.validate_json(text)
