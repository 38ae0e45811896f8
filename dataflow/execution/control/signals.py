"""Ctrl-C and SIGTERM while a flow runs in the main thread: once cancels it, twice ends it now.

The first is raised in the body, and as any cancellation again until the body has ended; coroutines
are cancelled by their event loop, and the last flow of them ends the process if it was SIGTERM. The
second ends it, whatever the user's code does about exceptions, but in an orderly way and within
seconds; where somebody works at a prompt or in a notebook, it is only raised once more.

A handler runs between any two lines of Python and takes no lock: a thread does what needs one. The
signal itself wakes that thread, so that the second counts also where the main thread never leaves
C. What the user has installed is left alone; the handler of an event loop is called by ours.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from dataflow.execution.interruptions import (
    RunCancelled,
    Terminated,
    is_cancellation,
    message_of_interruption,
)
from dataflow.execution.open_runs import mark_cancelled, open_runs
from dataflow.execution.scope import RunScope, state_record
from dataflow.model.states import State, StateCode
from dataflow.worker.interruptible import interrupting, raise_here

_SAME_SECONDS = 0.1
"""Two signals this close are one: what starts programs may pass on what the terminal sent us."""
_HINT_SECONDS = 1.0
_LAST_SECONDS = 3.0
_STATUS = 128 + signal.SIGTERM
_LOOK, _SIGTERM = b"\0", b"\xff"  # beside the numbers of signals, which the interpreter writes
Handler = Callable[[int, FrameType | None], Any]


class _Signals:
    """The signals of this process, as long as flows run in its main thread."""

    def __init__(self) -> None:
        self._flows: set[object] = set()
        self._is_interactive = False
        self._first_at: float | None = None
        self._error: BaseException | None = None  # what the first is
        self._cancelled: list[RunScope] = []
        self._before: dict[int, Any] = {}
        self._interrupts: deque[Callable[[], None]] = deque()
        self._turns = 0  # how often there was a flow after there was none
        self._turning = threading.Lock()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ours, selectors.EVENT_READ)
        threading.Thread(target=self._watch, name="dataflow signals", daemon=True).start()
        atexit.register(_end_as_interrupted)  # before the run loop does, so that it comes after

    # --- in the main thread ----------------------------------------------------------------------

    def enter(self, flow: object) -> None:
        """A flow begins, anything that stands for it."""
        self._flows.add(flow)
        if len(self._flows) > 1:
            return
        with self._turning:
            self._turns += 1  # what was told of flows before this one is not for it
            self._read()
            self._first_at, self._error, self._cancelled = None, None, []
        self._is_interactive = _is_interactive()
        for number, handler in _HANDLERS.items():
            before = signal.getsignal(number)
            if _may_be_replaced(number, before):
                self._before[number] = before
                signal.signal(number, handler)
        if signal.SIGINT in self._before:
            ours = self._theirs.fileno()
            woken = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
            if woken != -1:  # an event loop, for one
                signal.set_wakeup_fd(woken)

    def leave(self, flow: object) -> None:
        """It has ended."""
        self._flows.discard(flow)
        if not self._flows:
            self.give_back()
            self._cancelled = []

    def give_back(self) -> None:
        """All is as it was before, but for what the user has changed meanwhile."""
        for number, before in self._before.items():
            if signal.getsignal(number) is _HANDLERS[number]:
                signal.signal(number, before)
        if signal.SIGINT in self._before and self._wakes_us():
            signal.set_wakeup_fd(-1)
        self._before.clear()

    def arrived(self, number: int, frame: FrameType | None) -> None:
        """A signal has arrived: raise what it is here, or leave it to the thread."""
        if not self._flows:  # the one before was raised just as all this was given back
            self.give_back()
            signal.raise_signal(number)
            return
        if number == signal.SIGTERM:
            self._tell(_SIGTERM)
        elif not self._wakes_us():
            self._tell(bytes([number]))
        before: Any = self._before.get(number)
        is_first = self._error is None
        is_raised = number != signal.SIGTERM or not _is_in_coroutine()
        if is_first:
            self._error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
            self._cancel(self._error)
            self._tell(_LOOK)
        if _is_of_event_loop(before) and (is_first or self._is_interactive):
            before(number, frame)
        elif is_first and is_raised:
            assert self._error is not None
            raise_here(self._error)
        elif self._is_interactive:
            raise_here(KeyboardInterrupt())

    def _cancel(self, error: BaseException) -> None:
        """End what goes on in the runs of this thread and below them; the bodies are next."""
        said = message_of_interruption("Flow run", error)
        cancellation = RunCancelled(message=said, signal=error)
        for scope in list(open_runs.values()):
            if scope.body.is_in_main_thread:
                self._cancelled += mark_cancelled(scope.info.run_id, cancellation)
        cancelling = State.of_code(StateCode.CANCELLING, message=cancellation.message)
        for scope in self._cancelled:
            body = scope.body
            if not body.is_in_main_thread:
                self._interrupts.append(partial(body.interrupt, cancellation))
                continue
            scope.loop.writer.write([state_record(scope, cancelling, scope.info.run_count)], [])
            if not body.is_coroutine:
                self._interrupts.append(partial(body.interrupt, error, is_raised=True))
            elif isinstance(error, Terminated):  # of Ctrl-C its event loop hears itself
                self._interrupts.append(partial(body.interrupt, cancellation))

    def is_last_terminated(self, flow: object) -> bool:
        """Whether SIGTERM ends a flow, and no other has to end before the process may."""
        return self._flows == {flow} and isinstance(self._error, Terminated)

    def loop_beside(self) -> Any:
        """The event loop, in a task that it does not wait for; what is raised there gets lost."""
        asyncio: Any = sys.modules["asyncio"]
        try:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
        except RuntimeError:  # it has ended
            return None
        runner: Any = self._before.get(signal.SIGINT)
        main = runner.keywords.get("main_task") if _is_of_event_loop(runner) else None
        return None if task is main else loop

    def _wakes_us(self) -> bool:
        """Whether the interpreter tells our thread of signals."""
        ours = self._theirs.fileno()
        found = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if found != ours:
            signal.set_wakeup_fd(found)
        return found == ours

    def _tell(self, what: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            self._theirs.send(what)

    # --- in the thread ---------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            if not self._selector.select(_HINT_SECONDS if self._cancelled else None):
                self._hint()
            with self._turning:
                turn, told = self._turns, self._read()
            while self._interrupts:
                self._interrupts.popleft()()
            if not _HANDLERS.keys().isdisjoint(told):
                _wake_event_loops()
            with self._turning:
                for each in told if turn == self._turns else b"":
                    if each == signal.SIGINT:
                        self._take(signal.SIGINT)
                    elif each == _SIGTERM[0]:
                        self._take(signal.SIGTERM)

    def _read(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return self._ours.recv(1000)
        return b""

    def _take(self, number: int) -> None:
        if not self._flows or signal.getsignal(number) is not _HANDLERS[number]:
            return  # it is not for us: the user has installed a handler meanwhile
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        elif now - self._first_at > _SAME_SECONDS and not self._is_interactive:
            _end_now(number)

    def _hint(self) -> None:
        """It takes its time to be cancelled: say what can be done about that."""
        cancelled, self._cancelled = self._cancelled, []
        is_of_use = isinstance(self._error, KeyboardInterrupt) and not self._is_interactive
        for scope in cancelled[:1]:
            if is_of_use and not scope.graph.closed:
                name = scope.info.name
                hint = "Ctrl-C again ends it now, whatever it is at."
                scope.say(logging.WARNING, f"Flow run {name!r} is being cancelled. {hint}")


def _is_in_coroutine() -> bool:
    """Whether the innermost run of the main thread is a coroutine."""
    bodies = [scope.body for scope in list(open_runs.values()) if scope.body.is_in_main_thread]
    return bool(bodies) and bodies[-1].is_coroutine


def _wake_event_loops() -> None:
    """Have those of the main thread turn, so that its handlers are called.

    A signal that another thread got, or that came right before the loop began to wait, wakes none.
    """
    for scope in list(open_runs.values()):
        if scope.body.is_in_main_thread:
            scope.body.wake()


def _may_be_replaced(number: int, handler: Any) -> bool:
    """Whether what happens on a signal is what Python does by itself, or an event loop."""
    if number == signal.SIGTERM:
        return handler is signal.SIG_DFL
    return handler is signal.default_int_handler or _is_of_event_loop(handler)


def _is_of_event_loop(handler: Any) -> bool:
    asyncio = sys.modules.get("asyncio")
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    return asyncio is not None and isinstance(owner, asyncio.Runner)


def _is_interactive() -> bool:
    """Whether somebody works in this process, so that it must not end."""
    ipython = sys.modules.get("IPython")
    is_prompt = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    return is_prompt or (ipython is not None and ipython.get_ipython() is not None)


# --- now -----------------------------------------------------------------------------------------


def _end_now(number: int) -> None:
    """End this process, with its runs recorded if that can be done in time."""
    flows = [scope for scope in list(open_runs.values()) if scope.flow_run is not None]
    recorded = threading.Event()
    ending = threading.Thread(target=_end_all, args=(number, recorded), daemon=True)
    ending.start()
    ending.join(_LAST_SECONDS)
    by = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    seen = f"dataflow runs show {flows[0].info.name}" if flows else "dataflow runs ls"
    done = "What was done" if recorded.is_set() else "That could not be recorded in time; see"
    with contextlib.suppress(OSError):
        os.write(2, f"Cancelled by {by}, at once. {done}: {seen}\n".encode())
    os._exit(128 + number)


def _end_all(number: int, recorded: threading.Event) -> None:
    error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
    said = message_of_interruption("Flow run", error)
    state: State[Any] = State.of_code(StateCode.CANCELLED, message=f"{said} It was not waited for.")
    scopes = list(open_runs.values())
    for scope in scopes:
        scope.loop.cancel(scope.graph)
    for loop in {scope.loop for scope in scopes}:
        loop.settle()
    flow_runs = [scope.flow_run for scope in reversed(scopes) if scope.flow_run is not None]
    ended = [each for each in flow_runs if each.record_end(state)]  # those below others first
    recorded.set()
    for each in ended:
        each.announce_end(state)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    atexit._run_exitfuncs()


def _exit() -> None:
    raise terminated()


def _end_as_interrupted() -> None:
    """See that a process that Ctrl-C has ended has the status of one: Python forgets it.

    It does at each ``exec`` of a text while it ends, as when a module is loaded that defines a
    dataclass; one that raises KeyboardInterrupt reminds it.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not _is_interactive():
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


# --- the one of this process ---------------------------------------------------------------------

_signals: _Signals | None = None


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _signals is not None:
        _signals.arrived(number, frame)


_HANDLERS: dict[int, Handler] = {
    signal.SIGINT: _on_signal,
    signal.SIGTERM: interrupting(_on_signal),
}


def _in_forked_child() -> None:
    """A fork has nothing of this: what it is sent does to it what it would have done before."""
    global _signals
    forked, _signals = _signals, None
    if forked is not None:
        forked.give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


@contextlib.contextmanager
def signals_end_runs() -> Iterator[None]:
    """While this lasts in the main thread, Ctrl-C and SIGTERM end runs in an orderly way.

    Raises:
        Terminated: it was SIGTERM; for whoever calls this to make a :func:`terminated` of.
        SystemExit: the same in a coroutine, and no other flow has to end before the process may;
            in tasks beside the main one, their event loop raises it.
    """
    global _signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _signals is None:
        _signals = _Signals()
    signals, flow = _signals, object()
    try:
        signals.enter(flow)
        yield
    except BaseException as error:
        if not (is_cancellation(error) and signals.is_last_terminated(flow)):
            raise
        loop = signals.loop_beside()
        if loop is None:
            raise terminated() from None
        loop.call_soon(_exit)
        raise
    finally:
        try:
            signals.leave(flow)
        except BaseException:  # it arrived at the first line
            signals.leave(flow)
            raise


def terminated() -> SystemExit:
    """What ends a process that got SIGTERM, with its status."""
    return SystemExit(_STATUS)
