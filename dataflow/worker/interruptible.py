"""Code that another thread can interrupt, whatever it does about that.

What it is interrupted with is raised in it: in the main thread by a signal, which ends a sleep or a
system call as well; in any other thread at its next line of Python; in a coroutine by cancelling
its task. What is raised from outside can get lost: in an ``except`` of the user's, in a destructor,
in what the garbage collector calls. So it is raised again, after pauses that grow, until the code
has ended; but not while it is being handled there (what cleans up is left to do so), and never in
what the thread does afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

R = TypeVar("R")
_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 2.0
_LATE_SECONDS = 1.0
_MOST_CONTEXTS = 100  # of an exception; a user can make them a ring


Handler = Callable[[int, Any], Any]


class Interruptible:
    """Code that runs once: entered and left by whoever runs it, interrupted by anyone.

    Attributes:
        is_in_main_thread: whether it is under way there.
        is_coroutine: whether it is one.
    """

    def __init__(self) -> None:
        self.is_in_main_thread = self.is_coroutine = False
        self._thread: int | None = None
        self._cancel_task: Callable[[], object] | None = None
        self._wake_loop: Callable[[], object] | None = None
        self._error: BaseException | None = None
        self._has_ended = False
        self._late: Callable[[], object] | None = None
        self._late_at = self._next_at = float("inf")
        self._pause = _FIRST_SECONDS

    def run(self, function: Callable[[], R]) -> R:
        """Call a function in this thread, so that it can be interrupted.

        Raises:
            BaseException: what it was interrupted with, before it began or meanwhile.
        """
        try:
            self.enter()
            return function()
        finally:
            self._has_ended = True  # there is no line before this one that something is raised at
            try:
                self.leave()
            except BaseException as error:  # it was on its way, and is not raised another time
                self.leave()
                if error is not self._error:
                    raise

    @property
    def is_interrupted(self) -> bool:
        """Whether it has been interrupted, or will be as soon as it begins."""
        return self._error is not None

    def enter(self, is_coroutine: bool = False) -> None:
        """From here on this thread, or this coroutine, is interrupted.

        Raises:
            BaseException: it has been interrupted before it began.
        """
        with _lock:
            if self._error is not None:
                raise self._error
            self.is_in_main_thread = threading.current_thread() is threading.main_thread()
            self.is_coroutine = is_coroutine
            if is_coroutine:
                self._cancel_task, self._wake_loop = _ways_into_coroutine()
                return
            self._thread = threading.get_ident()
            _entered.setdefault(self._thread, []).append(self)

    def leave(self) -> None:
        """From here on it is not; does nothing if that has been said.

        What is about to be raised in this thread is still raised if code around this wants it to
        be; else it is withdrawn.
        """
        with _lock:  # what is raised in here does no harm: it is done again from the beginning
            self._has_ended, self._cancel_task, self._wake_loop = True, None, None
            self.is_in_main_thread = False
            thread = self._thread
            if thread is None:
                return
            inside = _entered.get(thread, [])
            for each in (inside, _interrupted):
                if self in each:
                    each.remove(self)
            pending = _pending.get(thread)
            if pending is not None and (not inside or pending[0] is self):
                _raise_in_thread(thread, None)
                _pending.pop(thread, None)
            if not inside:
                _entered.pop(thread, None)
            self._thread = None

    def interrupt(
        self,
        error: BaseException,
        late: Callable[[], object] | None = None,
        *,
        is_raised: bool = False,
    ) -> None:
        """Raise an error in it, or when it begins; does nothing if it has ended.

        Args:
            error: what is raised.
            late: called once if it has not ended a second later, as when it does not leave C.
            is_raised: it has been raised already, by whoever calls this.
        """
        with _lock:
            if self._has_ended or self._error is not None:
                return
            self._error = error
            if self._cancel_task is not None:
                self._cancel_task()
            elif self._thread is not None:
                now = time.monotonic()
                self._late, self._late_at = late, now + _LATE_SECONDS
                _interrupted.append(self)
                if is_raised:
                    self._next_at = now + self._pause
                else:
                    self._raise(now)
                _insist()

    def wake(self) -> None:
        """Have the event loop of a coroutine turn: a signal may have come just before it waits."""
        with _lock:
            wake = self._wake_loop
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                wake()

    def _raise(self, now: float) -> None:
        """Raise the error, unless it is being handled, or another one is about to be raised."""
        self._next_at = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        assert self._thread is not None
        assert self._error is not None
        if self._thread in _masked or _pending.get(self._thread, (self,))[0] is not self:
            return
        if is_handled(self._error, self._thread):
            return
        _pending[self._thread] = (self, self._error)
        if not _signal_main(self._thread):
            _raise_in_thread(self._thread, _Raiser)

    def _look(self, now: float) -> Callable[[], object] | None:
        """Raise the error again if it is time to; what is to be called, as it takes so long."""
        if now >= self._next_at and not self._has_ended:
            self._raise(now)
        if now < self._late_at:
            return None
        self._late_at = float("inf")
        return self._late


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """What is done in here (soon) is done whole; an interruption is raised a moment after it.

    Raises:
        BaseException: in the end, what :func:`raise_here` was called with meanwhile.
    """
    thread = threading.get_ident()
    with _lock:
        is_outermost = thread not in _masked
        if is_outermost:
            _owed.pop(thread, None)  # another error was raised in its stead
        _masked.add(thread)
        if _pending.pop(thread, None) is not None:
            _raise_in_thread(thread, None)
    try:
        yield
    finally:
        if is_outermost:
            _masked.discard(thread)
            owed = _owed.pop(thread, None)
            if owed is not None:
                raise owed


def raise_here(error: BaseException, repeats: bool = False) -> None:
    """Raise an error from a signal's handler; after what is done whole, if it arrives in such.

    Args:
        error: what is raised.
        repeats: whether the signal comes again in any case: an error that does not goes before.
    """
    thread = threading.get_ident()
    if thread not in _masked:
        raise error
    if not (repeats and thread in _owed):
        _owed[thread] = error


_lock = threading.Lock()
_masked: set[int] = set()
"""Threads in which nothing is raised now."""
_owed: dict[int, BaseException] = {}
"""By such threads, what is raised after that."""
_entered: dict[int, list[Interruptible]] = {}
"""By thread, what it is in; the innermost is the last."""
_pending: dict[int, tuple[Interruptible, BaseException]] = {}
"""By thread, what is about to be raised in it, and where."""
_interrupted: list[Interruptible] = []
"""What has been interrupted in a thread, and has not ended."""
_news = threading.Condition(_lock)
_insisting: threading.Thread | None = None
_sent = threading.Event()
"""Whether the next SIGTERM is one of ours."""


def _insist() -> None:
    """Have a thread look after what was interrupted, as long as there is any."""
    global _insisting
    if _insisting is not None and _insisting.is_alive():
        _news.notify()
        return
    _insisting = threading.Thread(target=_look_after, name="dataflow interruptions", daemon=True)
    _insisting.start()


def _look_after() -> None:
    global _insisting
    while True:
        with _lock:
            if not _interrupted:
                _insisting = None
                return
            next_at = min(min(each._next_at, each._late_at) for each in _interrupted)
            _news.wait(max(next_at - time.monotonic(), 0))
            now = time.monotonic()
            late = [each._look(now) for each in _interrupted]
        for call in late:
            if call is not None:
                call()


def is_handled(error: BaseException, thread: int | None = None) -> bool:
    """Whether a thread (None: this one) is in an ``except`` or ``finally`` for this error."""
    found: Any = sys._current_exceptions().get(thread or threading.get_ident())
    if isinstance(found, tuple):  # Python 3.11
        found = found[1]
    for _ in range(_MOST_CONTEXTS):
        if found is None or found is error:
            break
        found = found.__context__
    return found is error


_interrupting: Handler | None = None


def interrupting(handler: Handler) -> Handler:
    """A handler of SIGTERM that what interrupts the main thread is raised by.

    ``handler`` is called for signals that are not of ours.
    """
    global _interrupting

    def raise_or_handle(number: int, frame: Any) -> None:
        found = _pending.pop(threading.get_ident(), None)
        if found is not None:
            _sent.clear()
            raise found[1]
        if _sent.is_set():  # the code was left meanwhile
            _sent.clear()
            return
        handler(number, frame)

    _interrupting = raise_or_handle
    return raise_or_handle


def _signal_main(thread: int) -> bool:
    if thread != threading.main_thread().ident or _interrupting is None:
        return False
    if signal.getsignal(signal.SIGTERM) is not _interrupting:
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


def _raise_in_thread(thread: int, kind: type[BaseException] | None) -> None:
    """Have an exception raised in a thread at its next line of Python; None: withdraw it."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind)
    )


def _ways_into_coroutine() -> tuple[Callable[[], object] | None, Callable[[], object] | None]:
    """What cancels the coroutine that asks, and what wakes its event loop; None: it is none."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None, None
    try:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None, None
    if task is None:
        return None, None

    def cancel() -> None:
        if not task.cancelling():  # several bodies may be in one task
            task.cancel()

    def turn() -> None:
        """The loop has turned."""

    return partial(loop.call_soon_threadsafe, cancel), partial(loop.call_soon_threadsafe, turn)
