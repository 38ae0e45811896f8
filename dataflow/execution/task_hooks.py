"""Hooks of task runs on a runner: called after the announcement, in a thread of their own.

Each state of each attempt is told of once, also when its run goes on later or is tried again; of
runs that are cancelled before they have begun, nothing. A map that could not begin as a whole is
told of as one run, since it has no elements.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from dataflow.errors import StoreError
from dataflow.execution.announcements import (
    Announcement,
    CallsEnded,
    ElementsEnded,
    MapFailed,
)
from dataflow.execution.beginnings import Beginning
from dataflow.execution.gate import Gate
from dataflow.execution.hooks import hooks_for, run_task_hooks
from dataflow.execution.results import state_of
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import ENDED_CODES, MapNode
from dataflow.model.states import State, StateCode

Call = Callable[[], None]


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
        done = Gate()
        self.put(done.open)
        done.wait()

    def _work(self) -> None:
        while True:
            with contextlib.suppress(BaseException):  # they log what they raise
                self._queue.get()()


hook_thread = HookThread()


def call_hooks_of(announcements: Iterable[Announcement]) -> None:
    """Have the hooks called for states that task runs have entered.

    Those for Cancelled are called for runs that a worker had been given: of the others nobody has
    heard that they begin.
    """
    for announcement in announcements:
        if isinstance(announcement, (CallsEnded, ElementsEnded)) and announcement.is_own:
            continue  # they were called when it was recorded
        if isinstance(announcement, CallsEnded):
            hooked = tasks_with_hooks(announcement.nodes)
            for each, code in zip(announcement.nodes, announcement.codes, strict=True):
                if hooked and each.task in hooked:
                    _put(each, None, code)
        elif isinstance(announcement, ElementsEnded) and announcement.node.task.has_hooks:
            for at, code in enumerate(announcement.codes):
                _put(announcement.node, announcement.start + at, code)
        elif isinstance(announcement, MapFailed) and announcement.node.task.has_hooks:
            _put(announcement.node, None, announcement.node.failed_code)


def tasks_with_hooks(nodes: Iterable[Any]) -> set[Any]:
    """The tasks of these nodes that have hooks: many calls are of few tasks."""
    return {task for task in {node.task for node in nodes} if task.has_hooks}


def call_running_hooks(beginnings: Iterable[Beginning]) -> None:
    """Have the hooks called for attempts that have begun, but for those that were told of before.

    It is called by the run loop's thread alone.
    """
    for node, element, attempt in beginnings:
        if not node.task.has_hooks:
            continue
        told, place = node.graph.begun, (node.id, element)
        for number in range(told.get(place, 0) + 1, attempt + 1):
            code = StateCode.RUNNING if number == 1 else StateCode.RETRYING
            _put(node, element, int(code), number)
            told[place] = number


def wait_for_hooks(graph: FlowGraph) -> None:
    """Wait until the hooks of all task runs of a graph, which have ended, have been called."""
    if tasks_with_hooks(graph.nodes):
        with contextlib.suppress(StoreError):  # whoever has something to write is told
            graph.queue.loop.writer.write_now([])  # it hands them over after it has announced
        hook_thread.drain()


def _put(node: Any, element: int | None, code: int, attempt: int | None = None) -> None:
    if not hooks_for(node.task, code):
        return
    if code == StateCode.CANCELLED and (node.id, element) not in node.graph.begun:
        return  # nobody has heard of it, so there is nothing to clean up

    def call() -> None:
        state = _state_of(node, element, code) if code in ENDED_CODES else None
        number = _attempt_of(node, element) if attempt is None else attempt
        run_task_hooks(node.task, node, element, code, state, number)

    hook_thread.put(call)


def _state_of(node: Any, element: int | None, code: int) -> State[Any]:
    """The state with its data; without it where that cannot be had any more."""
    try:
        return state_of(node, element)
    except Exception as error:
        node.graph.say(logging.WARNING, f"A hook gets a state without its value: {error}")
        return State.of_code(StateCode(code))


def _attempt_of(node: Any, element: int | None) -> int:
    if isinstance(node, MapNode):
        return 1 if element is None else node.attempts.get(element, 1)
    attempt: int = node.attempt
    return attempt
