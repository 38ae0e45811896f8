"""The progress display: which one it is, when it comes up, when it goes.

``start_display()`` is called when a root run begins, by whoever drives it; the display then
follows events and ends by itself with the last root run. ``with show_progress():`` keeps one up.
This module is light: what a display needs (rich, IPython) is imported when one comes up, in the
display's own thread, and only for a run that lasts.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Protocol

from dataflow import events
from dataflow.display.tally import Tally
from dataflow.execution.loop.activity import calls_under_way
from dataflow.settings import get_settings

_MOST_SHARE = 0.05
_active: Display | None = None
_lock = threading.Lock()


class Screen(Protocol):
    """A place to show a tally; all calls come from one thread at a time."""

    interval_seconds: float

    def begin(self) -> None:
        """Come up."""

    def update(self) -> None:
        """Show how things are."""

    def end(self) -> None:
        """Show how things ended, and go."""


def chosen_kind(mode: str | None = None, *, for_command: bool = False) -> str:
    """Which display there is to be: ``bars``, ``plain``, ``notebook`` or ``off``.

    Args:
        mode: what is wanted, as in the settings (None: what the settings say).
        for_command: where ``auto`` finds no terminal, write plain lines (a script writes nothing).
    """
    mode = mode or get_settings().progress
    if mode != "auto":
        return mode
    if _in_notebook():
        return "notebook"
    if _is_capable(sys.stderr):
        return "bars"
    return "plain" if for_command else "off"


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from dataflow.display.notebook import in_notebook

    return in_notebook()


def _is_capable(stream: object) -> bool:
    """Whether a stream is a terminal that can move its cursor."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") not in ("dumb", "unknown")


def _screen(kind: str, tally: Tally) -> Screen:
    if kind == "bars":
        from dataflow.display.bars import BarScreen

        return BarScreen(tally)
    if kind == "notebook":
        from dataflow.display.notebook import NotebookScreen

        return NotebookScreen(tally)
    from dataflow.display.plain import PlainScreen

    return PlainScreen(tally)


_DELAYS = {"bars": 0.5, "notebook": 0.3, "plain": 0.0}
"""Seconds that a run must last to be worth it."""


class Display:
    """Follows the runs of this process and shows them, until it is stopped.

    Args:
        kind: ``bars``, ``plain`` or ``notebook``.
        ends_itself: stop when no root run is left.
    """

    def __init__(self, kind: str, *, ends_itself: bool) -> None:
        self._kind = kind
        self._ends_itself = ends_itself
        self._tally = Tally()
        self._screen: Screen | None = None
        self._roots: set[str] = set()
        self._stopped = threading.Event()
        self._unsubscribe = events.subscribe(self._take)
        context = contextvars.copy_context()  # a notebook finds its cell through it
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="dataflow display", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Show how things ended, and go; does nothing the second time."""
        if self._stopped.is_set():
            return
        self._unsubscribe()
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        _forget(self)

    def _take(self, event: events.Event) -> None:
        self._tally.take(event)
        if isinstance(event, events.RunStarted):
            if event.parent_run_id is None:
                self._roots.add(event.run_id)
        elif isinstance(event, events.RunStateChanged) and event.run_id in self._roots:
            self._roots.discard(event.run_id)
            if self._ends_itself and not self._roots:
                self.stop()

    def _work(self) -> None:
        if not self._stopped.wait(_DELAYS[self._kind]):
            self._show()
        elif self._kind == "plain":  # a short run has its lines as well
            self._screen = _screen(self._kind, self._tally)
            self._screen.end()

    def _show(self) -> None:
        screen = _screen(self._kind, self._tally)
        with contextlib.suppress(Exception):  # a display harms no run
            screen.begin()
            self._screen = screen
            pause = 0.0
            while not self._stopped.wait(pause):
                began = monotonic()
                self._tally.sample(calls_under_way())
                screen.update()
                spent = monotonic() - began
                pause = max(screen.interval_seconds, spent / _MOST_SHARE)
        with contextlib.suppress(Exception):
            screen.end()


def _forget(display: Display) -> None:
    global _active
    with _lock:
        if _active is display:
            _active = None


def start_display(mode: str | None = None) -> None:
    """Bring up the display that settings and terminal ask for, unless there is one already.

    It ends when no root run is left.
    """
    global _active
    kind = chosen_kind(mode)
    with _lock:
        if kind != "off" and _active is None:
            _active = Display(kind, ends_itself=True)


@contextlib.contextmanager
def show_progress(mode: str | None = None, *, for_command: bool = False) -> Iterator[None]:
    """Show the progress of all runs that happen inside this ``with``."""
    global _active
    kind = chosen_kind(mode, for_command=for_command)
    with _lock:
        if kind == "off" or _active is not None:
            display = None
        else:
            display = _active = Display(kind, ends_itself=False)
            atexit.register(display.stop)  # where the process is ended in here, by Ctrl-C
    try:
        yield
    finally:
        if display is not None:
            display.stop()
            atexit.unregister(display.stop)
