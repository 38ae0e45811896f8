"""Futures: handles to task runs that may not have ended.

A :class:`TaskFuture` is one task run. A :class:`FutureList` is what ``map`` returns: it behaves
like a list of futures, and makes a future only when it is asked for one, so that a map of a million
elements is not a million objects.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, MutableSequence
from functools import partial
from typing import Any, Generic, TypeVar, overload

from dataflow.errors import ResultTimeoutError
from dataflow.execution import results
from dataflow.execution.announcements import when_ended
from dataflow.graph.nodes import BAD_CODES, MapNode, TaskNode
from dataflow.ids import task_run_id
from dataflow.model.inputs import Ref, Reference
from dataflow.model.states import State, StateCode
from dataflow.worker.columns import load_range
from dataflow.worker.loading import loading_ns

R = TypeVar("R")


class TaskFuture(Reference, Generic[R]):
    """A task run that was submitted, or one element of a map."""

    __slots__ = ("__weakref__", "_element", "_hold", "_node", "_ref")

    def __init__(
        self, node: TaskNode | MapNode, element: int | None = None, hold: _Hold | None = None
    ) -> None:
        self._node = node
        self._element = element
        self._hold = hold
        self._ref: Ref | None = None

    def __del__(self) -> None:
        # submit makes one future of a node: what was passed on with it is known by now to whoever
        # needs the value (the graph holds futures that are arguments until it is)
        if self._element is None and isinstance(self._node, TaskNode):
            self._node.wanted = False
            self._node.drop_if_unneeded()

    def refs(self) -> Ref:
        """What this stands for in the graph."""
        ref = self._ref
        if ref is None:  # one for all that it is passed on to
            ref = self._ref = Ref(self._node, self._element)
        return ref

    @property
    def task_run_id(self) -> str:
        """The id of the task run: run id, node and index."""
        return task_run_id(self._node.graph.run_id, self._node.id, self._element or 0)

    @property
    def task_run_name(self) -> str:
        """The name of the task run."""
        return results.name_of(self._node, self._element)

    @property
    def state(self) -> State[R]:
        """The state as of now; looking at it counts as having taken notice of a failure."""
        self._node.graph.queue.loop.flush(self._node.graph)
        results.notice(self._node, self._element)
        return results.state_of(self._node, self._element)

    def done(self) -> bool:
        """Whether the task run has ended (also as NotReady)."""
        self._node.graph.queue.loop.flush(self._node.graph)
        return self._node.ended(self._element)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or ``timeout`` seconds; never raises for a failure."""
        results.wait_ended(self._node, self._element, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Wait for the value.

        Args:
            timeout: seconds to wait at most; None: for ever.
            raise_on_failure: return the exception of a failed run instead of raising it.

        Raises:
            TimeoutError: it has not ended within the timeout.
            UpstreamTaskError: it never ran, because what it needs failed.
            Exception: the task's own.
        """
        if not results.wait_ended(self._node, self._element, timeout):
            raise results.timed_out_waiting(self._node, self._element, timeout)
        results.notice(self._node, self._element)
        if self._node.state_code(self._element) not in BAD_CODES:
            value: R = results.value_of(self._node, self._element)
            return value
        error = results.exception_of(self._node, self._element)
        if raise_on_failure:
            raise error
        return error  # type: ignore[return-value]

    def cancel(self) -> bool:
        """Cancel the task run: it ends Cancelled, and what needs its value NotReady.

        A worker that is at it is ended (a thread at its next line of Python); an ``async`` call
        that shares its batch with others goes on, unheard.

        Returns:
            Whether it was cancelled; False if it had ended before. Who cancels has taken notice.
        """
        results.notice(self._node, self._element)
        return self._node.graph.queue.loop.cancel_one(self._node, self._element)  # type: ignore[no-any-return]

    def add_done_callback(self, fn: Callable[[TaskFuture[R]], Any]) -> None:
        """Have ``fn(future)`` called when it has ended (at once if it has)."""
        self._node.graph.queue.loop.flush(self._node.graph)
        if not when_ended(self._node, self._element, lambda: fn(self)):
            fn(self)

    def __await__(self) -> Generator[Any, None, R]:
        return self._result_async().__await__()

    async def _result_async(self) -> R:
        await _ended([self])
        return self.result()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskFuture):
            return NotImplemented
        return self._node is other._node and self._element == other._element

    def __hash__(self) -> int:
        return hash((id(self._node), self._element))

    def __repr__(self) -> str:
        state = StateCode(self._node.state_code(self._element)).state_name
        return f"<TaskFuture {self.task_run_name!r}: {state}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            f"the future of task run {self.task_run_name!r} cannot be pickled: pass it directly as "
            "an argument (or in a list, dict, dataclass or model), not inside another object"
        )


class _Hold:
    """What all futures of one map have: as long as it is there, somebody may ask for a value."""

    __slots__ = ("_node",)

    def __init__(self, node: MapNode) -> None:
        self._node = node
        node.wanted = True

    def __del__(self) -> None:
        self._node.wanted = False
        self._node.drop_if_unneeded()


class FutureList(Reference, MutableSequence[TaskFuture[R]], Generic[R]):
    """The futures of a map, like a list; changed like one, it becomes a plain list of futures."""

    __slots__ = ("__weakref__", "_hold", "_items", "_node", "_range")

    def __init__(self, items: Iterable[TaskFuture[R]] = (), *, node: MapNode | None = None) -> None:
        self._node = node
        self._range: range | None = None
        self._hold = None if node is None else _Hold(node)
        self._items = list(items) if node is None else None

    def refs(self) -> Ref | list[Any]:
        """What this stands for in the graph."""
        if self._items is not None:
            return [future.refs() for future in self._items]
        assert self._node is not None
        if self._range is None:
            return Ref(self._node)
        return [Ref(self._node, element) for element in self._range]

    def _elements(self) -> range:
        assert self._node is not None
        if self._range is not None:
            return self._range
        return range(results.wait_length(self._node))

    def _changeable(self) -> list[TaskFuture[R]]:
        if self._items is None:
            self._items = list(self)
            self._node = self._range = self._hold = None
        return self._items

    def __len__(self) -> int:
        """The number of futures; waits for the length of a map over a future."""
        return len(self._items) if self._items is not None else len(self._elements())

    def __bool__(self) -> bool:
        return len(self) > 0

    @overload
    def __getitem__(self, index: int) -> TaskFuture[R]: ...
    @overload
    def __getitem__(self, index: slice) -> FutureList[R]: ...
    def __getitem__(self, index: int | slice) -> TaskFuture[R] | FutureList[R]:
        if self._items is not None:
            found = self._items[index]
            return FutureList(found) if isinstance(found, list) else found
        elements = self._elements()[index]
        assert self._node is not None
        if isinstance(elements, range):
            part: FutureList[R] = FutureList()
            part._node, part._range, part._items = self._node, elements, None
            part._hold = self._hold
            return part
        return TaskFuture(self._node, elements, self._hold)

    def __iter__(self) -> Iterator[TaskFuture[R]]:
        if self._items is not None:
            yield from self._items
            return
        node, hold = self._node, self._hold
        assert node is not None
        for element in self._elements():
            yield TaskFuture(node, element, hold)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._changeable()[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._changeable()[index]

    def insert(self, index: int, value: TaskFuture[R]) -> None:
        """Insert a future before ``index``."""
        self._changeable().insert(index, value)

    def __add__(self, other: Iterable[TaskFuture[R]]) -> FutureList[R]:
        return FutureList([*self, *other])

    def __radd__(self, other: Iterable[TaskFuture[R]]) -> FutureList[R]:
        return FutureList([*other, *self])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (FutureList, list)):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended, or ``timeout`` seconds; never raises for a failure."""
        if self._is_whole():
            assert self._node is not None
            results.wait_ended(self._node, None, timeout)
            return
        wait(self, timeout)

    def _is_whole(self) -> bool:
        return self._items is None and self._range is None

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        """Wait for all values, in the order of the input.

        Args:
            timeout: seconds to wait at most; None: for ever.
            raise_on_failure: put exceptions into the list instead of raising the first by index.

        Raises:
            TimeoutError: some have not ended within the timeout.
            Exception: that of the failed run with the lowest index.
        """
        if not self._is_whole():
            return self._results(timeout, raise_on_failure)
        node = self._node
        assert node is not None
        if not results.wait_ended(node, None, timeout):
            raise results.timed_out_waiting(node, None, timeout)
        results.notice(node, None)
        if node.length is None:
            raise results.exception_of(node, None)
        bad = sorted(element for element in node.failures if node.codes[element] in BAD_CODES)
        if bad and raise_on_failure:
            raise results.exception_of(node, bad[0])
        return _values(node, bad)

    def _results(self, timeout: float | None, raise_on_failure: bool) -> list[Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        futures = list(self)
        for future in futures:
            rest = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not results.wait_ended(future._node, future._element, rest):
                raise results.timed_out_waiting(future._node, future._element, timeout)
        return [future.result(raise_on_failure=raise_on_failure) for future in futures]

    def cancel(self) -> bool:
        """Cancel all of them that have not ended (see ``TaskFuture.cancel``); whether any was."""
        if self._is_whole():
            assert self._node is not None
            results.notice(self._node, None)
            return self._node.graph.queue.loop.cancel_one(self._node, None)  # type: ignore[no-any-return]
        return sum(future.cancel() for future in self) > 0

    def states(self) -> list[State[R]]:
        """The states of all, as of now."""
        return [future.state for future in self]

    def failed(self) -> FutureList[R]:
        """The futures whose runs have ended, but not well."""
        found = [f for f in self if f._node.state_code(f._element) in BAD_CODES]
        for future in found:
            results.notice(future._node, future._element)
        return FutureList(found)

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self._result_async().__await__()

    async def _result_async(self) -> list[R]:
        await _ended(list(self))
        return self.result()

    def __repr__(self) -> str:
        if self._items is not None:
            return f"<FutureList of {len(self._items)}>"
        assert self._node is not None
        length = self._node.length if self._range is None else len(self._range)
        shown = "?" if length is None else length
        return f"<FutureList of {shown}: {self._node.key}>"


def _values(node: MapNode, bad: list[int]) -> list[Any]:
    """All values of a map, segment by segment, so that each column is read once."""
    assert node.length is not None
    values: list[Any] = [None] * node.length
    before = loading_ns()
    for segment in node.segments:
        if segment.column is None:
            continue
        count = segment.stop - segment.start
        values[segment.start : segment.stop] = load_range(
            segment.column, segment.offset, segment.offset + count
        )
    node.graph.times.loaded(before)
    for element in bad:
        values[element] = results.exception_of(node, element)
    return values


Futures = Iterable[Any]


def _flat(futures: Futures) -> list[TaskFuture[Any]]:
    found = []
    for item in [futures] if isinstance(futures, TaskFuture) else futures:
        if isinstance(item, TaskFuture):
            found.append(item)
        elif isinstance(item, (FutureList, list, tuple)):
            found += _flat(item)
    return found


def wait(futures: Futures, timeout: float | None = None) -> Any:
    """Wait for futures.

    Args:
        futures: futures, or lists of them; states may be among them and count as done.
        timeout: seconds to wait at most; None: for ever.

    Returns:
        ``(done, not_done)``: two sets of futures.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    every = _flat(futures)
    for future in every:
        rest = None if deadline is None else max(deadline - time.monotonic(), 0)
        results.wait_ended(future._node, future._element, rest)
    done = {future for future in every if future._node.ended(future._element)}
    return DoneAndNotDone(done, set(every) - done)


class DoneAndNotDone(tuple[set[TaskFuture[Any]], set[TaskFuture[Any]]]):
    """What :func:`wait` returns: two sets, also by name."""

    __slots__ = ()

    def __new__(cls, done: set[TaskFuture[Any]], not_done: set[TaskFuture[Any]]) -> DoneAndNotDone:
        """Both sets."""
        return super().__new__(cls, (done, not_done))

    @property
    def done(self) -> set[TaskFuture[Any]]:
        """Those that have ended."""
        return self[0]

    @property
    def not_done(self) -> set[TaskFuture[Any]]:
        """Those that have not."""
        return self[1]


def as_completed(futures: Futures, timeout: float | None = None) -> Iterator[TaskFuture[Any]]:
    """Futures in the order in which their runs end, while others still run.

    Args:
        futures: futures, or lists of them.
        timeout: seconds for all of it; None: for ever.

    Raises:
        TimeoutError: some have not ended within the timeout.
    """
    every = dict.fromkeys(_flat(futures))
    deadline = None if timeout is None else time.monotonic() + timeout
    ended: queue.SimpleQueue[TaskFuture[Any]] = queue.SimpleQueue()
    for graph in {id(f._node.graph): f._node.graph for f in every}.values():
        graph.queue.loop.flush(graph)
    first = [
        future
        for future in every
        if not when_ended(future._node, future._element, partial(ended.put, future))
    ]
    yield from first
    for left in range(len(every) - len(first), 0, -1):
        yield _next_ended(ended, deadline, left, timeout, next(iter(every)))


def _next_ended(
    ended: queue.SimpleQueue[TaskFuture[Any]],
    deadline: float | None,
    left: int,
    timeout: float | None,
    example: TaskFuture[Any],
) -> TaskFuture[Any]:
    runner = example._node.graph.queue.runner
    while True:
        if runner.helps(False):
            try:
                return ended.get_nowait()
            except queue.Empty:
                runner.help(lambda: not ended.empty(), 0.02)
        rest = 0.5 if deadline is None else min(deadline - time.monotonic(), 0.5)
        if rest <= 0:
            raise ResultTimeoutError(f"{left} futures had not ended after {timeout:g} second(s).")
        try:
            return ended.get(timeout=0.001 if runner.helps(False) else rest)
        except queue.Empty:
            if example._node.graph.error is not None:
                raise example._node.graph.error from None


async def _ended(futures: list[TaskFuture[Any]]) -> None:
    """Wait on the running event loop until all of these have ended."""
    import asyncio

    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    left = [len(futures)]
    lock = threading.Lock()

    def one_ended() -> None:
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            loop.call_soon_threadsafe(_finish, waiting)

    for future in futures:
        future.add_done_callback(lambda _future: one_ended())
    if futures:
        await waiting


def _finish(waiting: Any) -> None:
    if not waiting.done():
        waiting.set_result(None)
