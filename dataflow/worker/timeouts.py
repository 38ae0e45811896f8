"""A limit on the time that one call may take, in the thread that makes it.

In the main thread an interval timer interrupts the call, also in the middle of ``time.sleep`` or a
system call. In any other thread the call runs in a thread of its own, which is left behind when its
time is up: an exception is raised in it at its next line of Python. What never comes back from C is
ended by the runner, which kills the process (see ``runners.processes``).
"""

from __future__ import annotations

import contextvars
import ctypes
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from dataflow.errors import TaskRunTimeoutError


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
    armed = True

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise Deadline

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
    context = contextvars.copy_context()

    def carry_out() -> None:
        try:
            outcome.append((context.run(fn, *args, **kwargs), None))
        except BaseException as error:
            outcome.append((None, error))
        finally:
            done.set()

    thread = threading.Thread(target=carry_out, name=f"{what} (timed)", daemon=True)
    thread.start()
    if not done.wait(seconds):
        assert thread.ident is not None
        raise_in_thread(thread.ident, Deadline)
        raise timed_out(what, seconds)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def raise_in_thread(thread: int, kind: type[BaseException] | None) -> None:
    """Have an exception raised in a thread at its next line of Python; None: withdraw it."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind)
    )
