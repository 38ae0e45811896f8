"""The body of a run, as something that another thread can interrupt.

What it is interrupted with is raised in it: in the main thread by a signal, which ends a sleep or a
system call as well; in any other thread at its next line of Python; in a coroutine by cancelling
its task. Nothing is raised in whatever the thread does after the body.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


class RunCancelled(BaseException):
    """Somebody cancels the run whose body this is raised in; no ``except Exception`` catches it.

    Attributes:
        run_id: which run.
        message: who, and why.
    """

    def __init__(self, run_id: str = "", message: str = "") -> None:
        super().__init__(run_id, message)
        self.run_id = run_id
        self.message = message


class Terminated(BaseException):
    """SIGTERM arrived while a flow ran."""


class Interruptible:
    """One body. It is entered and left by whoever runs it, and interrupted by anyone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._cancel_task: Callable[[], object] | None = None

    def enter(self) -> None:
        """From here on this thread, or this coroutine, is interrupted."""
        with self._lock:
            self._cancel_task = _task_canceller()
            self._thread = threading.get_ident()

    def leave(self) -> None:
        """From here on it is not; call it where an interruption is caught."""
        with self._lock:
            thread, self._thread, self._cancel_task = self._thread, None, None
            if thread is not None and _pending.pop(thread, None) is not None:
                _raise_in(thread, None)

    def interrupt(self, error: BaseException) -> None:
        """Raise an error in it, if it is going on."""
        with self._lock:
            if self._thread is None or self._thread in _pending:
                return
            if self._cancel_task is not None:
                self._cancel_task()
                return
            _pending[self._thread] = error
            if not _signal_main(self._thread):
                _raise_in(self._thread, _Raiser)


_pending: dict[int, BaseException] = {}
"""By thread, what is about to be raised in it."""
_sent = threading.Event()
"""Whether the next SIGTERM is one of ours."""


def on_sigterm(_number: int, _frame: Any) -> None:
    """The handler of SIGTERM while a flow runs in the main thread."""
    error = _pending.pop(threading.get_ident(), None)
    if error is not None:
        _sent.clear()
        raise error
    if _sent.is_set():  # the body was left meanwhile
        _sent.clear()
        return
    raise Terminated


def _signal_main(thread: int) -> bool:
    if thread != threading.main_thread().ident or signal.getsignal(signal.SIGTERM) is not on_sigterm:
        return False
    _sent.set()
    signal.pthread_kill(thread, signal.SIGTERM)
    return True


class _Raiser(BaseException):
    """Raised in other threads, which take only classes; it becomes what was wanted."""

    def __new__(cls) -> Any:
        """What is pending for this thread."""
        found = _pending.pop(threading.get_ident(), None)
        return super().__new__(cls) if found is None else found


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Have an exception raised in a thread at its next line of Python; None: withdraw it."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind)
    )


def _task_canceller() -> Callable[[], object] | None:
    """What cancels the coroutine that asks; None: it is none."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return None if task is None else lambda: loop.call_soon_threadsafe(task.cancel)
