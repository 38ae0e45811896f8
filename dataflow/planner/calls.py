"""Which single calls go into one batch: some that can begin, and those that follow from them.

A call that needs nothing but calls of its own batch, and what has ended before, can begin as soon
as these have, on the same worker, without a word from anyone. Taking it along saves a way there and
back. It costs something where another worker could have done it meanwhile, or where others wait for
the same values. So followers are taken while they are no more at any depth than the calls that the
batch began with (chains, halves of a stencil, branches of a tree that closes), and only for as long
as some dispatches take where the graph widens, or where others wait beside one. It is the
clustering of task graphs by internalizing edges that do not lengthen the schedule (Sarkar 1989),
each time a batch is made of what is ready then.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from dataflow.graph.nodes import ENDED_CODES, TaskNode
from dataflow.graph.tags import limits_of
from dataflow.planner.batch_sizes import (
    BATCH_BYTES,
    SMALL_VALUE_BYTES,
    WORTHWHILE_DISPATCHES,
    RunnerCosts,
)
from dataflow.planner.cost_book import CostBook
from dataflow.planner.fusion import may_share

WAIT_DISPATCHES = 4
"""For so many others may wait: a batch costs several times the way there and back in the end, as
the flow's process takes its time from the workers beside it."""
UNKNOWN_CALLS = 1000
MOVED_BYTES_A_SECOND = 1e9


class CallPicker:
    """Picks the calls of one batch.

    Args:
        costs: the runner's costs.
        book: what is known of the tasks' durations.
        is_concurrent: whether the calls do not wait for each other (``async`` ones).

    Attributes:
        calls: the calls, in an order in which each comes after what it needs.
        seconds: how long those take whose duration is known.
        is_known: whether every duration is known.
    """

    def __init__(self, costs: RunnerCosts, book: CostBook, is_concurrent: bool = False) -> None:
        self.calls: list[TaskNode] = []
        self.seconds = 0.0
        self.is_known = True
        self._dispatch = costs.dispatch_seconds
        self._longest = math.inf if is_concurrent else costs.target_seconds
        self._wait = WAIT_DISPATCHES * costs.dispatch_seconds  # for which others may wait
        self._book = book
        self._bytes = 0.0
        self._move_seconds = 0.0
        self._widths = [0]  # calls at each depth; at depth 0 those that could begin
        self._depths: dict[int, int] = {}  # by id() of a node
        self._missing: dict[int, int] = {}  # inputs of a node that are not in the batch
        self._shared: set[int] = set()  # nodes that need what others need, too
        self._held: dict[int, deque[TaskNode]] = {}  # by depth: there is no room for them yet
        self._may_share: dict[int, bool] = {}  # by id() of a task
        self._most_inputs = 0  # what needs more than the batch begins with is not looked at

    def pick(self, ready: deque[TaskNode], most: int) -> None:
        """Take some ``most`` calls that can begin off ``ready``, and what follows from them.

        More are taken while all of it is done sooner than another worker would have its share.
        """
        self._most_inputs = self._first_calls(ready, most)
        while ready and (not self.calls or self._has_time):
            if self._widths[0] >= most and not self._has_just_begun:
                return
            if self.calls and ready[0].alone:
                return
            node = ready.popleft()
            if node.code in ENDED_CODES:
                continue
            self._take(node, 0)
            if node.alone:
                return
            self._take_held()

    def put_depths_in_turn(self) -> None:
        """Order the calls as others wait for them: no branch is ahead of the others.

        Of one depth, what has the longest path behind it comes first. Large values keep the order
        in which they were taken, in which each is needed soon.
        """
        if self._bytes <= SMALL_VALUE_BYTES * len(self.calls):
            depths = self._depths
            self.calls.sort(key=lambda node: (depths.get(id(node), 0), -node.height))

    def _first_calls(self, ready: deque[TaskNode], most: int) -> int:
        """How many calls the batch may begin with."""
        seconds = self._book.seconds(ready[0].task.name) if ready else None
        if not seconds:
            return len(ready)
        return min(len(ready), max(most, math.ceil(self._dispatch / seconds)))

    @property
    def _has_just_begun(self) -> bool:
        """Whether what was taken is done sooner than it is sent."""
        may_grow = self.is_known and self._shares(self.calls[0].task)
        return may_grow and self.seconds <= self._dispatch

    @property
    def _has_time(self) -> bool:
        return self.seconds < self._longest and self._bytes < BATCH_BYTES

    @property
    def _has_time_to_follow(self) -> bool:
        """The same for a follower: large values are worth staying with for longer."""
        return self.seconds < max(self._longest, WORTHWHILE_DISPATCHES * self._move_seconds)

    def _take(self, node: TaskNode, depth: int) -> None:
        """Take a call, and hold what only waited for it."""
        self.calls.append(node)
        node.aboard = True
        if depth == len(self._widths):
            self._widths.append(0)
        self._widths[depth] += 1
        nbytes = self._book.bytes(node.task.name)
        self._bytes += nbytes
        self._move_seconds = max(self._move_seconds, nbytes / MOVED_BYTES_A_SECOND)
        seconds = self._book.seconds(node.task.name)
        if seconds is None:
            self.is_known = False
        else:
            self.seconds += seconds
        alone = node.alone or (node.graph.tag_limits and limits_of(node))
        if node.dependents and not alone and self._shares(node.task):
            for follower in self._followers(node, depth + 1):
                self._held.setdefault(self._depths[id(follower)], deque()).append(follower)

    def _followers(self, node: TaskNode, depth: int) -> Iterable[TaskNode]:
        """What needs nothing more than this call beside those that were taken before."""
        found = []
        most_inputs = self._most_inputs
        for follower, element, _ in node.dependents or ():
            if follower.waiting > most_inputs:  # others make most of what it needs
                continue
            if element is not None or not isinstance(follower, TaskNode):
                continue
            key = id(follower)
            if len(node.dependents or ()) > 1:
                self._shared.add(key)
            missing = self._missing.get(key, follower.waiting) - 1
            self._missing[key] = missing
            self._depths[key] = max(self._depths.get(key, 0), depth)
            if missing == 0 and self._fits(follower):
                found.append(follower)
        if len(found) > 1:
            found.sort(key=_height, reverse=True)
        return found

    def _fits(self, node: TaskNode) -> bool:
        first = self.calls[0]
        return (
            node.graph is first.graph
            and self._shares(node.task)
            and node.task.resources == first.task.resources
            and node.code not in ENDED_CODES
            and not node.alone
            and not (node.graph.tag_limits and limits_of(node))
            and not node.graph.looks_up(node.task)
        )

    def _shares(self, task: object) -> bool:
        known = self._may_share.get(id(task))
        if known is None:
            known = self._may_share[id(task)] = may_share(task)
        return known

    def _take_held(self) -> None:
        """Take followers, those of one depth before those of the next, while there is room."""
        depth = 1
        while depth <= len(self._widths) and self._held:
            held = self._held.get(depth)
            while held and self._is_quick(held[0]) and self._has_room(depth):
                self._take(held.popleft(), depth)
            if held is not None and not held:
                del self._held[depth]
            depth += 1

    def _is_quick(self, node: TaskNode) -> bool:
        """Whether nobody waits for long beside this call."""
        seconds = self._book.seconds(node.task.name)
        return seconds is None or seconds <= self._wait or id(node) not in self._shared

    def _has_room(self, depth: int) -> bool:
        if not self._has_time_to_follow or (not self.is_known and len(self.calls) >= UNKNOWN_CALLS):
            return False
        width = self._widths[depth] if depth < len(self._widths) else 0
        return width < self._widths[0] or (self.is_known and self.seconds <= self._wait)


def _height(node: TaskNode) -> int:
    return node.height
