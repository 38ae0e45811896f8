"""A run that waits for somebody: Paused until it is resumed, with what was put in, if it asks.

Its process goes on meanwhile, and so do the tasks that were submitted before.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from dataflow.errors import FlowPauseTimeout
from dataflow.execution.control.run_input import (
    DOES_NOT_FIT,
    WantedInput,
    check_patience,
    run_of_body,
)
from dataflow.execution.scope import record_state
from dataflow.model.states import State, StateCode

_SPELL_SECONDS = 0.5  # so that an interruption is not waited for


class Pause:
    """One pause of the run whose body this is made in.

    Args:
        model: what has to be put in when it is resumed (see :class:`WantedInput`).
        timeout_seconds: how long it may last.

    Raises:
        MissingContextError: this is no body of a flow.
    """

    def __init__(self, model: Any, timeout_seconds: float) -> None:
        self.scope = run_of_body("pause_flow_run")
        check_patience(timeout_seconds)
        self.wanted = WantedInput(model)
        self.timeout_seconds = timeout_seconds
        self.deadline = time.monotonic() + timeout_seconds

    def begin(self, why: str = "Somebody has to resume it.") -> threading.Event:
        """Enter Paused; the event is set when somebody has resumed it."""
        self.scope.resumed = threading.Event()
        state = State.of_code(StateCode.PAUSED, message=why + self.wanted.said())
        record_state(self.scope, state, self.scope.info.run_count)
        return self.scope.resumed

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
            found = self.wanted.read(self.scope.put_in)
        except ValueError as error:
            self.scope.say(logging.WARNING, f"It was not resumed: {error}")
            self.begin(f"{DOES_NOT_FIT}: {error}.")
            return None
        record_state(self.scope, State.of_code(StateCode.RUNNING), self.scope.info.run_count)
        return (found,)
