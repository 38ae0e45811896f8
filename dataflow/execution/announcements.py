"""What has been recorded is announced: futures learn of it, and whoever waits is woken.

One lock guards the waiting of a whole process: it is held for moments only, by the record writer
when it announces and by those who begin to wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dataflow import events
from dataflow.graph.nodes import ENDED_CODES, CallNode, MapNode, TaskNode
from dataflow.model.states import count_states

_lock = threading.Lock()


class CallsEnded(NamedTuple):
    """Single task runs are in new states: their codes, and since when.

    ``is_own``: the run had recorded that before, and now goes on or is tried again.
    """

    nodes: Sequence[TaskNode]
    codes: bytes
    ended_ns: Sequence[int]
    is_own: bool = False


class ElementsEnded(NamedTuple):
    """Elements of a map from ``start`` on are in new states; ``is_own`` as for calls."""

    node: MapNode
    start: int
    codes: bytes
    is_own: bool = False


class MapFailed(NamedTuple):
    """A map as a whole will not run: its length will never be known."""

    node: MapNode


class LengthKnown(NamedTuple):
    """A dynamic map has its length."""

    node: MapNode


class Beginning(NamedTuple):
    """A call has begun its so-and-so-many-th attempt; only hooks are told."""

    node: TaskNode | MapNode
    element: int | None
    attempt: int


class CallEnded(NamedTuple):
    """A call in place has ended."""

    node: CallNode
    code: int


Announcement = CallsEnded | ElementsEnded | MapFailed | LengthKnown | CallEnded | Beginning
Callback = Callable[[], None]


def announce(announcements: list[Announcement]) -> None:
    """Let everyone know."""
    woken: list[Callback] = []
    with _lock:
        for announcement in announcements:
            woken += _apply(announcement)
    for callback in woken:
        callback()
    if events.has_subscribers():
        _publish(announcements)


def _apply(announcement: Announcement) -> list[Callback]:
    if isinstance(announcement, CallsEnded):
        return _apply_calls(announcement)
    node: Any = announcement.node
    if isinstance(announcement, ElementsEnded):
        return _apply_elements(node, announcement)
    if isinstance(announcement, (CallEnded, Beginning)):
        return []
    woken = list(node.length_callbacks)
    node.length_callbacks.clear()
    if isinstance(announcement, MapFailed) or node.ended():
        woken += [callback for _, callback in node.callbacks or ()]
        node.callbacks = None
    return woken


def _apply_calls(announcement: CallsEnded) -> list[Callback]:
    woken: list[Callback] = []
    nodes, codes, ended, is_own = announcement
    for node, code, ended_ns in zip(nodes, codes, ended, strict=True):
        node.announced = code
        node.ended_ns = ended_ns
        if is_own:
            node.graph.note_reused(node.id, range(1))
        if node.callbacks is not None and code in ENDED_CODES:
            woken += node.callbacks
            node.callbacks = None
    return woken


def _apply_elements(node: MapNode, announcement: ElementsEnded) -> list[Callback]:
    start, codes = announcement.start, announcement.codes
    stop = start + len(codes)
    before = node.codes[start:stop]
    node.codes[start:stop] = codes
    if announcement.is_own:
        node.graph.note_reused(node.id, range(start, stop))
    node.announced_count += _ended_in(codes) - _ended_in(before)
    waiting = node.callbacks
    if not waiting:
        return []
    woken, still = [], []
    for element, callback in waiting:
        inside = element is not None and start <= element < stop
        if node.ended(element) if element is None or inside else False:
            woken.append(callback)
        else:
            still.append((element, callback))
    node.callbacks = still or None
    return woken


def _ended_in(codes: bytes | bytearray) -> int:
    return sum(count for code, count in count_states(codes).items() if code in ENDED_CODES)


def when_ended(node: Any, element: int | None, callback: Callback) -> bool:
    """Have ``callback`` called once when a node (or element) ends; False if it has already."""
    with _lock:
        if node.ended(element) or (isinstance(node, MapNode) and node.failure is not None):
            return False
        if node.callbacks is None:
            node.callbacks = []
        node.callbacks.append(callback if isinstance(node, TaskNode) else (element, callback))
        return True


def when_length_known(node: MapNode, callback: Callback) -> bool:
    """Have ``callback`` called once when a map's length is known or never will be."""
    with _lock:
        if node.length is not None or node.failure is not None:
            return False
        node.length_callbacks.append(callback)
        return True


def forget(node: Any, callback: Callback) -> None:
    """Do not call ``callback`` any more."""
    with _lock:
        kept = [
            entry
            for entry in node.callbacks or ()
            if (entry if isinstance(node, TaskNode) else entry[1]) is not callback
        ]
        node.callbacks = kept or None


def wake_all(nodes: list[Any]) -> None:
    """Wake everyone who waits for any of these nodes, ended or not (their run is broken)."""
    woken: list[Callback] = []
    with _lock:
        for node in nodes:
            if isinstance(node, CallNode):
                continue
            single = isinstance(node, TaskNode)
            woken += [entry if single else entry[1] for entry in node.callbacks or ()]
            node.callbacks = None
            if isinstance(node, MapNode):
                woken += node.length_callbacks
                node.length_callbacks.clear()
    for callback in woken:
        callback()


def _publish(announcements: list[Announcement]) -> None:
    """Publish what was announced; single calls of a task are told of together, as they are many."""
    calls: dict[tuple[str, str], dict[int, int]] = {}
    for announcement in announcements:
        if isinstance(announcement, CallsEnded):
            for each, code in zip(announcement.nodes, announcement.codes, strict=True):
                _count(calls, each, code)
            continue
        if isinstance(announcement, Beginning):
            continue
        node = announcement.node
        run_id = node.graph.run_id
        if isinstance(announcement, CallEnded):
            _count(calls, node, announcement.code)
        elif isinstance(announcement, LengthKnown):
            events.publish(events.NodeLengthKnown(run_id, node.id, node.length or 0))
        else:
            codes = announcement.codes if isinstance(announcement, ElementsEnded) else b""
            recorded = events.ElementsRecorded(run_id, node.id, node.task.name, count_states(codes))
            events.publish(recorded)
    for (run_id, task_name), counts in calls.items():
        events.publish(events.ElementsRecorded(run_id, None, task_name, counts))


def _count(calls: dict[tuple[str, str], dict[int, int]], node: Any, code: int) -> None:
    counts = calls.setdefault((node.graph.run_id, node.task.name), {})
    counts[code] = counts.get(code, 0) + 1
