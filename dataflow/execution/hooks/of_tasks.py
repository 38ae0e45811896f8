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
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from dataflow.errors import StoreError
from dataflow.execution.announcements import (
    Announcement,
    Beginning,
    CallsEnded,
    ElementsEnded,
    MapFailed,
)
from dataflow.execution.gate import Gate
from dataflow.execution.hooks.calling import hooks_for, task_hook_arguments
from dataflow.execution.hooks.due import call_in_turn, due_record
from dataflow.execution.results import state_of
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import ENDED_CODES
from dataflow.model.records import DueHooksRecord
from dataflow.model.states import State, StateCode
from dataflow.store.run_store import RunStore

Call = Callable[[], None]
Entered = tuple[Any, int | None, int, int]
"""A node, an element, the state that it is in, and the attempt."""


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


class DueHooks(NamedTuple):
    """Hooks that are to be called for a state of some runs of a node."""

    record: DueHooksRecord
    node: Any


def due_hooks(announcements: Iterable[Announcement]) -> list[DueHooks]:
    """The hooks that are to be called for what is about to be recorded and announced."""
    due: list[DueHooks] = []
    for announcement in announcements:
        for node, element, code, attempt in _entered(announcement):
            due.append(due_for(node, element, code, attempt))
            if len(due) > 1:
                due[-2:] = _together(*due[-2:])
    return due


def due_for(node: Any, element: int | None, code: int, attempt: int) -> DueHooks:
    """The hooks that are to be called for the state of one run."""
    return DueHooks(due_record(node.graph.run_id, node.id, element, code, attempt), node)


def _together(one: DueHooks, other: DueHooks) -> list[DueHooks]:
    """As one, if the other is of the next element."""
    before, after = one.record, other.record
    is_next = one.node is other.node and before.stop == after.start
    if is_next and (before.code, before.attempt) == (after.code, after.attempt):
        return [DueHooks(before.until(after.stop), one.node)]
    return [one, other]


def _entered(announcement: Announcement) -> Iterable[Entered]:
    """The states that somebody's hooks are to be told of."""
    if isinstance(announcement, CallsEnded):
        return () if announcement.is_own else _calls_entered(announcement)
    if isinstance(announcement, ElementsEnded):
        is_hooked = announcement.node.task.has_hooks and not announcement.is_own
        return _elements_entered(announcement) if is_hooked else ()
    if isinstance(announcement, MapFailed):
        node, code = announcement.node, announcement.node.failed_code
        return [(node, None, code, 1)] if _is_told_of(node, None, code) else ()
    if isinstance(announcement, Beginning):
        code = StateCode.RUNNING if announcement.attempt == 1 else StateCode.RETRYING
        return [(announcement.node, announcement.element, code, announcement.attempt)]
    return ()


def _calls_entered(announcement: CallsEnded) -> Iterator[Entered]:
    hooked = tasks_with_hooks(announcement.nodes)
    for each, code in zip(announcement.nodes, announcement.codes, strict=True) if hooked else ():
        if each.task in hooked and _is_told_of(each, None, code):
            yield each, None, code, each.attempt


def _elements_entered(announcement: ElementsEnded) -> Iterator[Entered]:
    node = announcement.node
    for element, code in enumerate(announcement.codes, announcement.start):
        if _is_told_of(node, element, code):
            yield node, element, code, node.attempts.get(element, 1)


def _is_told_of(node: Any, element: int | None, code: int) -> bool:
    """Whether hooks are called: for Cancelled only if anybody has heard that it had begun."""
    if not hooks_for(node.task, code):
        return False
    return code != StateCode.CANCELLED or (node.id, element) in node.graph.begun


def tasks_with_hooks(nodes: Iterable[Any]) -> set[Any]:
    """The tasks of these nodes that have hooks: many calls are of few tasks."""
    return {task for task in {node.task for node in nodes} if task.has_hooks}


def untold(beginnings: Iterable[Beginning]) -> list[Beginning]:
    """The attempts that have begun and that hooks are to be told of, each once.

    It is called by the run loop's thread alone.
    """
    found = []
    for node, element, attempt in beginnings:
        if not node.task.has_hooks:
            continue
        told, place = node.graph.begun, (node.id, element)
        if node.task.hooks["on_running"]:
            numbers = range(told.get(place, 0) + 1, attempt + 1)
            found += [Beginning(node, element, number) for number in numbers]
        told[place] = max(told.get(place, 0), attempt)
    return found


def call_due_hooks(due: Iterable[DueHooks], store: RunStore | None) -> None:
    """Have hooks called; what they are about has been recorded and announced."""
    for each in due:
        hook_thread.put(partial(_call, each, store))


def _call(due: DueHooks, store: RunStore | None) -> None:
    record, node = due

    def arguments(element: int | None) -> tuple[Any, ...]:
        state = _state_of(node, element, record.code) if record.code in ENDED_CODES else None
        return task_hook_arguments(node, element, record.code, state, record.attempt)

    call_in_turn(record, hooks_for(node.task, record.code), store, arguments, node.graph.say)


def wait_for_hooks(graph: FlowGraph) -> None:
    """Wait until the hooks of all task runs of a graph, which have ended, have been called."""
    if tasks_with_hooks(graph.nodes):
        with contextlib.suppress(StoreError):  # whoever has something to write is told
            graph.queue.loop.writer.write_now([])  # it hands them over after it has announced
        hook_thread.drain()


def _state_of(node: Any, element: int | None, code: int) -> State[Any]:
    """The state with its data; without it where that cannot be had any more."""
    try:
        return state_of(node, element)
    except Exception as error:
        node.graph.say(logging.WARNING, f"A hook gets a state without its value: {error}")
        return State.of_code(StateCode(code))
