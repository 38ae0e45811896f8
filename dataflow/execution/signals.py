"""Ctrl-C and SIGTERM while a flow runs in the main thread: once cancels it, twice ends it now.

The first is raised in the body, as ``KeyboardInterrupt`` or :class:`Terminated`, and as any
cancellation again and again until the body has ended. The second ends the process, whatever the
user's code does about exceptions: that the runs were cancelled is recorded, what is registered for
the end of the process is done (worker processes end, clusters are closed), and nothing of it takes
longer than a few seconds. Where somebody goes on working in the process, at a prompt or in a
notebook, it only raises ``KeyboardInterrupt`` once more.

A handler runs in the main thread between any two lines of Python, and must take no lock there. So
it does what takes none; a thread does the rest. That thread is woken by the signal itself, so that
the second Ctrl-C counts also where the main thread never comes back from C.

A handler that the user has installed is left alone: it is theirs to decide. That of an event loop
is called by ours.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import select
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

from dataflow.execution.interruptions import RunCancelled, Terminated, message_of_interruption
from dataflow.execution.open_runs import mark_cancelled, open_runs
from dataflow.execution.scope import RunScope, end_run, state_record
from dataflow.model.states import State, StateCode
from dataflow.worker.interruptible import interrupting

SAME_SECONDS = 0.1
"""Two signals this close are one: what starts programs may pass on what the terminal sent us."""
_HINT_SECONDS = 1.0
_LAST_SECONDS = 3.0
_LOOK, _SIGTERM = b"\0", b"\xff"  # beside the numbers of signals, which the interpreter writes
Handler = Callable[[int, FrameType | None], Any]


class _Signals:
    """The signals of this process, as long as flows run in its main thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.flows = 0
        self.is_interactive = False
        self.first_at: float | None = None
        self.error: BaseException | None = None
        self.cancelled: list[RunScope] = []
        self._before: dict[int, Any] = {}
        self._wakeup = -1
        self._interrupts: deque[Callable[[], None]] = deque()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        threading.Thread(target=self._watch, name="dataflow signals", daemon=True).start()

    # --- in the main thread ----------------------------------------------------------------------

    def enter(self, handlers: dict[int, Handler]) -> None:
        """A flow begins."""
        self.flows += 1
        if self.flows > 1:
            return
        with contextlib.suppress(BlockingIOError):  # what came after the flow before this one
            self._ours.recv(1000)
        self.first_at, self.error, self.cancelled = None, None, []
        self.is_interactive = _is_interactive()
        for number, handler in handlers.items():
            before = signal.getsignal(number)
            if _may_be_replaced(number, before):
                self._before[number] = before
                signal.signal(number, handler)
        if signal.SIGINT in self._before:
            self._wakeup = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
            if self._wakeup != -1:  # an event loop's; ours does without
                signal.set_wakeup_fd(self._wakeup)

    def leave(self, handlers: dict[int, Handler]) -> None:
        """It has ended: all is as it was, but for what the user has changed meanwhile."""
        self.flows -= 1
        if self.flows > 0:
            return
        for number, before in self._before.items():
            if signal.getsignal(number) is handlers[number]:
                signal.signal(number, before)
        if signal.SIGINT in self._before and self._wakes_us():
            signal.set_wakeup_fd(-1)
        self._before.clear()
        self.cancelled = []

    def arrived(self, number: int, frame: FrameType | None) -> None:
        """A signal has arrived: raise what it is here, or leave it to the thread."""
        if number == signal.SIGTERM:
            self._tell(_SIGTERM)
        elif not self._wakes_us():
            self._tell(bytes([number]))
        before = self._before.get(number)
        is_first = self.error is None
        if is_first:
            self.error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
            self._cancel(self.error)
            self._tell(_LOOK)
        if _is_of_event_loop(before) and (is_first or self.is_interactive):
            before(number, frame)
        elif is_first:
            assert self.error is not None
            raise self.error
        elif self.is_interactive:
            raise KeyboardInterrupt

    def _cancel(self, error: BaseException) -> None:
        """End what goes on in the runs of this thread and below them; the bodies are next."""
        cancellation = RunCancelled(message=message_of_interruption("Flow run", error))
        for scope in [scope for scope in open_runs.values() if scope.body.is_in_main_thread]:
            self.cancelled += mark_cancelled(scope.info.run_id, cancellation)
        cancelling = State.of_code(StateCode.CANCELLING, message=cancellation.message)
        for scope in self.cancelled:
            body = scope.body
            if not body.is_in_main_thread:
                self._interrupts.append(partial(body.interrupt, cancellation))
                continue
            scope.loop.writer.write([state_record(scope, cancelling, scope.info.run_count)], [])
            if not body.is_coroutine:  # its event loop cancels it
                self._interrupts.append(partial(body.interrupt, error, is_raised=True))

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
            is_hinted = not self.cancelled or self.is_interactive
            wait = None if is_hinted else _HINT_SECONDS
            select.select([self._ours], [], [], wait)
            try:
                told = self._ours.recv(1000)
            except BlockingIOError:
                told = b""
            while self._interrupts:
                self._interrupts.popleft()()
            for each in told:
                if each == signal.SIGINT:
                    self._pressed(signal.SIGINT)
                elif each == _SIGTERM[0]:
                    self._pressed(signal.SIGTERM)
            if not told:
                self._hint()

    def _pressed(self, number: int) -> None:
        now = time.monotonic()
        if self.first_at is None:
            self.first_at = now
        elif now - self.first_at > SAME_SECONDS and not self.is_interactive and self.flows:
            _end_now(number)

    def _hint(self) -> None:
        """It takes its time to be cancelled: say what can be done about that."""
        cancelled, self.cancelled = self.cancelled, []
        for scope in cancelled[:1]:
            if not scope.graph.closed:
                name = scope.info.name
                hint = "Ctrl-C again ends it now, whatever it is at."
                scope.say(logging.WARNING, f"Flow run {name!r} is being cancelled. {hint}")


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
    roots = [scope.info.name for scope in open_runs.values() if scope.parent is None]
    recorded = threading.Event()
    ending = threading.Thread(target=_end_all, args=(number, recorded), daemon=True)
    ending.start()
    ending.join(_LAST_SECONDS)
    by = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    seen = f"dataflow runs show {roots[0]}" if roots else "dataflow runs ls"
    done = "What was done" if recorded.is_set() else "That could not be recorded in time; see"
    with contextlib.suppress(OSError):
        os.write(2, f"Cancelled by {by}, at once. {done}: {seen}\n".encode())
    os._exit(128 + number)


def _end_all(number: int, recorded: threading.Event) -> None:
    error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
    said = message_of_interruption("Flow run", error)
    state: State[Any] = State.of_code(
        StateCode.CANCELLED, message=f"{said} It was not waited for."
    )
    scopes = list(reversed(open_runs.values()))  # those below others first
    for scope in scopes:
        scope.loop.cancel(scope.graph)
    for loop in {scope.loop for scope in scopes}:
        loop.settle()
    flow_runs = []
    for scope in scopes:
        if scope.flow_run is None:
            end_run(scope, state)
        elif scope.flow_run.record_end(state):
            flow_runs.append(scope.flow_run)
    recorded.set()
    for flow_run in flow_runs:
        flow_run.announce_end(state)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    atexit._run_exitfuncs()


# --- the one of this process ---------------------------------------------------------------------

_signals: _Signals | None = None


def _on_sigint(number: int, frame: FrameType | None) -> None:
    assert _signals is not None
    _signals.arrived(number, frame)


_HANDLERS: dict[int, Handler] = {
    signal.SIGINT: _on_sigint,
    signal.SIGTERM: interrupting(_on_sigint),
}


@contextlib.contextmanager
def signals_end_runs(*numbers: int) -> Iterator[None]:
    """While this lasts in the main thread, these signals end runs in an orderly way."""
    global _signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _signals is None or _signals.pid != os.getpid():
        _signals = _Signals()
    owner = _signals
    owner.enter({number: _HANDLERS[number] for number in numbers})
    try:
        yield
    finally:
        owner.leave(_HANDLERS)
