"""How nodes ended, for those who ask: waiting, values, exceptions, states."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dataflow.clock import datetime_of
from dataflow.errors import InternalError, ResultMissing, ResultTimeoutError
from dataflow.execution.announcements import forget, when_ended, when_length_known
from dataflow.execution.gate import Gate
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import BAD_CODES, GOOD_CODES, CallNode, MapNode, TaskNode
from dataflow.model.states import State, StateCode, cached_message
from dataflow.worker.call_context import occupies_slot
from dataflow.worker.failures import not_ready_error, revive
from dataflow.worker.loading import loading_ns

Register = Callable[[Callable[[], None]], bool]
_HELP_SECONDS = 0.5


def wait_ended(node: TaskNode | MapNode, element: int | None, timeout: float | None) -> bool:
    """Wait until a node (or an element) has ended; False if the time was up first.

    Raises:
        StoreError: its run cannot go on because nothing can be recorded any more.
    """
    if node.ended(element):
        return True
    return _wait(node, lambda wake: when_ended(node, element, wake), timeout)


def wait_length(node: MapNode) -> int:
    """Wait until the length of a map is known, and return it.

    Raises:
        UpstreamTaskError: it never will be, because what it goes over has failed.
    """
    if node.length is None:
        _wait(node, lambda wake: when_length_known(node, wake), None)
    if node.length is None:
        raise exception_of(node, None)
    return node.length


def _wait(node: Any, register: Register, timeout: float | None) -> bool:
    graph = node.graph
    _check_going(graph)
    loop, runner = graph.queue.loop, graph.queue.runner
    loop.flush(graph)
    woken = Gate()

    def wake() -> None:
        woken.open()
        runner.wake()

    if not register(wake):
        return True
    inside = occupies_slot.get() and runner.shares_objects
    if inside:
        loop.blocked(runner, +1)
    try:
        done = (
            _wait_helping(runner, woken, timeout)
            if runner.helps(inside)
            else _wait_woken(woken, timeout)
        )
    finally:
        if inside:
            loop.blocked(runner, -1)
    if not done:
        forget(node, wake)
    _check_going(graph)
    return done


def _wait_woken(woken: Gate, timeout: float | None) -> bool:
    """Wait in short spells: a signal just before a lock blocks does not wake it (no Ctrl-C)."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    while not woken.wait(max(min(deadline - time.monotonic(), _HELP_SECONDS), 0)):
        if time.monotonic() >= deadline:
            return False
    return True


def _wait_helping(runner: Any, woken: Gate, timeout: float | None) -> bool:
    """Wait and meanwhile carry out what this runner has to do, here."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while not woken.is_open:
        rest = _HELP_SECONDS
        if deadline is not None:
            rest = min(deadline - time.monotonic(), rest)
            if rest <= 0:
                return False
        runner.help(lambda: woken.is_open, rest)
    return True


def _check_going(graph: Any) -> None:
    if graph.error is not None:
        raise graph.error


def wait_for_all(graph: FlowGraph) -> None:
    """Wait until every node of a run has ended, also those that are added meanwhile."""
    at = 0
    while at < len(graph.nodes):
        node = graph.nodes[at]
        at += 1
        if isinstance(node, CallNode) or node.ended():
            continue
        if isinstance(node, MapNode) and node.failure is not None:
            continue
        if not wait_ended(node, None, None):
            raise InternalError(f"waiting for {node.key!r} ended too early")


def value_of(node: TaskNode | MapNode, element: int | None) -> Any:
    """The value of something that ended well.

    Raises:
        ResultMissing: the value is not there any more.
    """
    place = node.place_of(element)
    if place is None:
        raise ResultMissing(f"The value of {name_of(node, element)!r} is not there.")
    column, position = place
    before = loading_ns()
    value = column.load(position)
    node.graph.times.loaded(before)
    return value


def exception_of(node: TaskNode | MapNode, element: int | None) -> BaseException:
    """The exception of something that did not end well: the task's own, or what tells of it."""
    code = int(StateCode.NOT_READY)
    if element is not None or isinstance(node, TaskNode):
        code = node.state_code(element)
    elif node.failure is not None:
        code = node.failed_code
    failure = node.failure_of(element)
    if failure is None:
        return State.of_code(StateCode(code), message=_message(node, element)).as_error()
    if code != StateCode.NOT_READY:
        return revive(failure)
    return not_ready_error(name_of(node, element), failure)


def name_of(node: Any, element: int | None) -> str:
    """The name of a task run."""
    if isinstance(node, MapNode) and element is not None:
        return node.element_name(element)
    name: str = node.name
    return name


def state_of(node: TaskNode | MapNode, element: int | None) -> State[Any]:
    """The state as announced, with the value or the exception as its data."""
    code = StateCode(node.state_code(element))
    note = _note(node, element)
    data: Any = None
    if code in GOOD_CODES:
        data = value_of(node, element)
    elif code in BAD_CODES:
        data = exception_of(node, element)
    message = note.message if note is not None else _message(node, element)
    return State.of_code(
        code,
        name=note.name if note is not None else None,
        message=message,
        data=data,
        timestamp=_timestamp(node, element),
    )


def _note(node: TaskNode | MapNode, element: int | None) -> Any:
    if isinstance(node, TaskNode):
        return node.note
    return None if element is None else node.notes.get(element)


def _message(node: TaskNode | MapNode, element: int | None) -> str | None:
    from dataflow.execution.records_of import message_of

    if node.state_code(element) == StateCode.CACHED:
        place = node.place_of(element)
        source = getattr(place and place[0], "place_of", None)
        return cached_message(source(place[1]).run_id) if place and source else None
    failure = node.failure_of(element)
    code = (
        node.failed_code
        if element is None and isinstance(node, MapNode)
        else node.state_code(element)
    )
    return message_of(code, failure)


def _timestamp(node: TaskNode | MapNode, element: int | None) -> Any:
    ns = node.created_ns
    if isinstance(node, TaskNode):
        ns = node.ended_ns or ns
    elif element is not None:
        segment = node.segment_of(element)
        if segment is not None:
            ns = segment.ended[element - segment.start] + segment.clock_offset
    return datetime_of(ns)


def timed_out_waiting(node: Any, element: int | None, seconds: float | None) -> ResultTimeoutError:
    """The error of a wait that took too long."""
    return ResultTimeoutError(
        f"Task run {name_of(node, element)!r} did not end within {seconds:g} second(s).",
        hint="It goes on running; ask again, or wait without a timeout.",
    )


def notice(node: Any, element: int | None) -> None:
    """Someone looks at how this ended; what made it fail is thereby looked at, too."""
    if isinstance(node, TaskNode):
        node.noticed = True
    elif isinstance(node, MapNode):
        if element is None:
            node.noticed = True
        elif node.noticed is not True:
            node.noticed = node.noticed or set()
            node.noticed.add(element)


def is_noticed(node: TaskNode | MapNode, element: int | None) -> bool:
    """Whether someone looked at how this ended."""
    if isinstance(node, TaskNode) or element is None or isinstance(node.noticed, bool):
        return bool(node.noticed)
    return element in node.noticed
