"""The body of a run, as something that another thread can interrupt.

What it is interrupted with is raised in it: in the main thread by a signal, which ends a sleep or a
system call as well; in any other thread at its next line of Python; in a coroutine by cancelling
its task. Nothing is raised in whatever the thread does after the body.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from dataflow.execution.interruptions import Terminated
from dataflow.worker.timeouts import raise_in_thread


class Interruptible:
    """One body. It is entered and left by whoever runs it, and interrupted by anyone."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._cancel_task: Callable[[], object] | None = None

    def enter(self, is_coroutine: bool = False) -> None:
        """From here on this thread, or this coroutine, is interrupted."""
        with _lock:
            if is_coroutine:
                self._cancel_task = _task_canceller()
                return
            self._thread = threading.get_ident()
            _bodies.setdefault(self._thread, []).append(self)

    def leave(self) -> None:
        """From here on it is not; does nothing if that has been said.

        What is about to be raised in this thread is still raised if a body around this one wants
        it to be; else it is withdrawn.
        """
        with _lock:
            thread, self._thread, self._cancel_task = self._thread, None, None
            if thread is None:
                return
            bodies = _bodies[thread]
            bodies.remove(self)
            pending = _pending.get(thread)
            if pending is not None and (not bodies or pending[0] is self):
                del _pending[thread]
                raise_in_thread(thread, None)
            if not bodies:
                del _bodies[thread]

    def interrupt(self, error: BaseException) -> None:
        """Raise an error in it, if it is going on."""
        with _lock:
            if self._cancel_task is not None:
                self._cancel_task()
            elif self._thread is not None and self._thread not in _pending:
                _pending[self._thread] = (self, error)
                if not _signal_main(self._thread):
                    raise_in_thread(self._thread, _Raiser)


_lock = threading.Lock()
_bodies: dict[int, list[Interruptible]] = {}
"""By thread, the bodies that it is in; the innermost is the last."""
_pending: dict[int, tuple[Interruptible, BaseException]] = {}
"""By thread, what is about to be raised in it, and in which body."""
_sent = threading.Event()
"""Whether the next SIGTERM is one of ours."""


def on_sigterm(_number: int, _frame: Any) -> None:
    """The handler of SIGTERM while a flow runs in the main thread."""
    found = _pending.pop(threading.get_ident(), None)
    if found is not None:
        _sent.clear()
        raise found[1]
    if _sent.is_set():  # the body was left meanwhile
        _sent.clear()
        return
    raise Terminated


def _signal_main(thread: int) -> bool:
    if (
        thread != threading.main_thread().ident
        or signal.getsignal(signal.SIGTERM) is not on_sigterm
    ):
        return False
    _sent.set()
    signal.pthread_kill(thread, signal.SIGTERM)
    return True


class _Raiser(BaseException):
    """Raised in other threads, which take only classes; it becomes what was wanted."""

    def __new__(cls) -> Any:
        """What is pending for this thread."""
        found = _pending.pop(threading.get_ident(), None)
        return super().__new__(cls) if found is None else found[1]


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
    if task is None:
        return None

    def cancel() -> None:
        if not task.cancelling():  # several bodies may be in one task
            task.cancel()

    return lambda: loop.call_soon_threadsafe(cancel)
