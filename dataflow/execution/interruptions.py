"""What ends a run from outside: Ctrl-C, a signal, the event loop, ``sys.exit``."""

from __future__ import annotations

import sys
import threading

from dataflow.model.states import StateCode


class Terminated(BaseException):
    """SIGTERM arrived while a flow ran."""


def code_of_interruption(error: BaseException) -> StateCode:
    """The state of what was ended so: Cancelled if somebody asked for it, else Crashed."""
    asked = isinstance(error, (KeyboardInterrupt, Terminated)) or is_cancellation(error)
    return StateCode.CANCELLED if asked else StateCode.CRASHED


def message_of_interruption(what: str, error: BaseException) -> str:
    """What the message of that state says of ``what``."""
    by = {KeyboardInterrupt: "Ctrl-C", Terminated: "SIGTERM"}.get(type(error), repr(error))
    cancelled = code_of_interruption(error) is StateCode.CANCELLED
    return f"{what} was {'cancelled' if cancelled else 'ended'} by {by}."


def is_cancellation(error: BaseException) -> bool:
    """Whether this is how an event loop cancels a coroutine (asyncio may not even be loaded)."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def is_signal(error: BaseException) -> bool:
    """Whether a signal has raised this here and now, so that it is nobody's to catch."""
    is_ours = isinstance(error, (KeyboardInterrupt, Terminated))
    return is_ours and threading.current_thread() is threading.main_thread()
