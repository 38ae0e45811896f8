"""What ends a run from outside: a cancellation, Ctrl-C, a signal, the event loop, ``sys.exit``."""

from __future__ import annotations

import sys
import threading

from dataflow.model.states import StateCode


class Terminated(BaseException):
    """SIGTERM arrived while a flow ran."""


class RunCancelled(BaseException):
    """Somebody cancels the run whose body this is raised in; no ``except Exception`` catches it.

    Attributes:
        run_id: which run.
        message: who, and why.
        signal: what it is raised as, if it came from the terminal or as SIGTERM.
    """

    def __init__(
        self, run_id: str = "", message: str = "", signal: BaseException | None = None
    ) -> None:
        super().__init__(run_id, message)
        self.run_id = run_id
        self.message = message
        self.signal = signal


class RunSuspended(BaseException):
    """The body that this is raised in ends here, and begins anew when somebody resumes its run.

    Attributes:
        message: what its state says.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def code_of_interruption(error: BaseException) -> StateCode:
    """The state of what was ended so: Cancelled if somebody asked for it, else Crashed."""
    is_asked_for = isinstance(error, (KeyboardInterrupt, Terminated, RunCancelled))
    is_asked_for = is_asked_for or is_cancellation(error)
    return StateCode.CANCELLED if is_asked_for else StateCode.CRASHED


def message_of_interruption(what: str, error: BaseException) -> str:
    """What the message of that state says of ``what``."""
    if isinstance(error, RunCancelled):
        return error.message
    by = {KeyboardInterrupt: "Ctrl-C", Terminated: "SIGTERM"}.get(type(error), repr(error))
    cancelled = code_of_interruption(error) is StateCode.CANCELLED
    return f"{what} was {'cancelled' if cancelled else 'ended'} by {by}."


def is_cancellation(error: BaseException) -> bool:
    """Whether this is how an event loop cancels a coroutine (asyncio may not even be loaded)."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def is_signal(error: BaseException) -> bool:
    """Whether this was raised from outside, here and now, so that it is nobody's to catch."""
    if isinstance(error, RunCancelled):
        return True
    is_ours = isinstance(error, (KeyboardInterrupt, Terminated))
    return is_ours and threading.current_thread() is threading.main_thread()
