"""Hooks of task runs on a runner: called after the announcement, in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from dataflow.execution.announcements import (
    Announcement,
    CallsEnded,
    ElementsEnded,
    Interrupted,
)
from dataflow.execution.hooks import run_task_hooks
from dataflow.execution.results import state_of
from dataflow.graph.nodes import ENDED_CODES
from dataflow.model.states import StateCode

Call = Callable[[], None]
_CANCELLED = int(StateCode.CANCELLED)


class HookThread:
    """Calls hooks one after the other, in the order of what they are about."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, call: Call) -> None:
        """Have something called."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="dataflow hooks", daemon=True)
            self._thread.start()
        self._queue.put(call)

    def drain(self) -> None:
        """Wait until everything that was put has been called."""
        if self._thread is None or threading.current_thread() is self._thread:
            return
        done = threading.Event()
        self.put(done.set)
        done.wait()

    def _work(self) -> None:
        while True:
            self._queue.get()()


hook_thread = HookThread()


def call_hooks_of(announcements: Iterable[Announcement]) -> None:
    """Have the hooks called for states that task runs have entered.

    Those for Cancelled are called for runs that a worker had been given: of the others nobody has
    heard that they begin.
    """
    for announcement in announcements:
        if isinstance(announcement, CallsEnded):
            hooked = tasks_with_hooks(announcement.nodes)
            for each, code in zip(announcement.nodes, announcement.codes, strict=True):
                if hooked and each.task in hooked and code != _CANCELLED:
                    _put(each, None, code)
        elif isinstance(announcement, ElementsEnded) and announcement.node.task.has_hooks:
            for at, code in enumerate(announcement.codes):
                if code != _CANCELLED:
                    _put(announcement.node, announcement.start + at, code)
        elif isinstance(announcement, Interrupted):
            for element in announcement.elements:
                _put(announcement.node, element, _CANCELLED)


def tasks_with_hooks(nodes: Iterable[Any]) -> set[Any]:
    """The tasks of these nodes that have hooks: many calls are of few tasks."""
    return {task for task in {node.task for node in nodes} if task.has_hooks}


def call_running_hooks(node: Any, elements: Iterable[int | None]) -> None:
    """Have the hooks called for task runs that are about to begin."""
    for element in elements:
        _put(node, element, int(StateCode.RUNNING))


def _put(node: Any, element: int | None, code: int) -> None:
    def call() -> None:
        state = state_of(node, element) if code in ENDED_CODES else None
        run_task_hooks(node.task, node, element, code, state)

    hook_thread.put(call)
