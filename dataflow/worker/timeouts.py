"""A limit on the time that one call may take, in the thread that makes it.

In the main thread an interval timer interrupts the call, also in the middle of ``time.sleep`` or a
system call. In any other thread the call runs in a thread of its own, which is interrupted and left
behind when its time is up (see ``worker.interruptible``). What never comes back from C is ended by
the runner, which kills the process (see ``runners.processes``).
"""

from __future__ import annotations

import contextvars
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from dataflow.errors import TaskRunTimeoutError
from dataflow.worker.interruptible import Interruptible, is_handled, raise_here

_SPELL_SECONDS = 0.1


class Deadline(BaseException):
    """Raised in a call whose time is up; no ``except Exception`` of the user's catches it."""


def call_with_timeout(
    fn: Callable[..., Any], args: Any, kwargs: Any, seconds: float, what: str
) -> Any:
    """Call ``fn`` and return what it returns, but wait no longer than ``seconds``.

    Raises:
        TaskRunTimeoutError: the time is up; the message names ``what``.
    """
    if threading.current_thread() is threading.main_thread():
        return _call_with_timer(fn, args, kwargs, seconds, what)
    return _call_in_thread(fn, args, kwargs, seconds, what)


def timed_out(what: str, seconds: float) -> TaskRunTimeoutError:
    """The error of something that took longer than it may."""
    return TaskRunTimeoutError(f"{what} exceeded its timeout of {seconds:g} second(s).")


def _call_with_timer(
    fn: Callable[..., Any], args: Any, kwargs: Any, seconds: float, what: str
) -> Any:
    armed, deadline = True, Deadline()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if armed and not is_handled(deadline):  # what cleans up after it is left to do so
            raise_here(deadline, repeats=True)

    before = signal.signal(signal.SIGALRM, interrupt)
    begun = time.monotonic()
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        try:
            return fn(*args, **kwargs)
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Deadline:
        raise timed_out(what, seconds) from None
    finally:
        signal.signal(signal.SIGALRM, before)
        if outer:  # the timer of a flow or task around this one goes on
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - begun), 1e-3), 0.1)


def _call_in_thread(
    fn: Callable[..., Any], args: Any, kwargs: Any, seconds: float, what: str
) -> Any:
    done = threading.Event()
    outcome: list[Any] = []
    body = Interruptible()
    call = partial(contextvars.copy_context().run, fn, *args, **kwargs)

    def carry_out() -> None:
        try:
            outcome.append((body.run(call), None))
        except BaseException as error:
            outcome.append((None, error))
        finally:
            done.set()

    thread = threading.Thread(target=carry_out, name=f"{what} (timed)", daemon=True)
    thread.start()
    try:
        is_done = _wait(done, seconds)
    except BaseException as interruption:  # of the caller, and so of what it waits for
        body.interrupt(interruption)
        raise
    if not is_done:
        body.interrupt(Deadline())
        raise timed_out(what, seconds)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def _wait(done: threading.Event, seconds: float) -> bool:
    """Wait in short spells: what is raised in this thread does not end a wait for a lock."""
    deadline = time.monotonic() + seconds
    while not done.wait(max(min(deadline - time.monotonic(), _SPELL_SECONDS), 0)):
        if time.monotonic() >= deadline:
            return done.is_set()
    return True
