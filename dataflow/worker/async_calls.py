"""``async`` tasks: the calls of a batch run concurrently on an event loop of this thread.

The loop stays for the thread's life, so that clients which a user's module keeps open go on working
from batch to batch.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from array import array
from collections.abc import Coroutine, Sequence
from types import CoroutineType
from typing import Any

from dataflow.errors import TaskRunTimeoutError
from dataflow.model.batches import Attempt, BatchReport, TaskLike
from dataflow.model.states import State
from dataflow.worker import failures as failing
from dataflow.worker.board import noted
from dataflow.worker.call_context import CallContext, current_call, task_at
from dataflow.worker.carry_out import BatchCarrier, code_of, error_of
from dataflow.worker.expand import Chain, Function
from dataflow.worker.outcomes import clock
from dataflow.worker.run_logs import log_target
from dataflow.worker.timeouts import timed_out

_threads = threading.local()


def is_in_async_code() -> bool:
    """Whether an event loop runs in this thread: who is called from there may be awaited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end on this thread's loop, or beside it if that is running."""
    if is_in_async_code():
        return _run_beside(coroutine)
    runner = getattr(_threads, "runner", None)
    if runner is None:
        runner = _threads.runner = asyncio.Runner()
    return runner.run(coroutine, context=contextvars.copy_context())


def _run_beside(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """This thread's loop is busy with a flow's body: use a thread of its own."""
    outcome: list[Any] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.append((asyncio.run(coroutine), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=context.run, args=(run,), name="async tasks")
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


class AsyncBatchCarrier(BatchCarrier):
    """A batch of ``async`` calls, none of which needs another's value: all begin at once."""

    values: list[Any]
    ended: list[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started: list[int] = []
        self.done: set[int] = set()
        self.told_of: set[int] = set()

    def carry_out(self) -> BatchReport:
        """Make the calls."""
        self.capture()
        report: BatchReport = run_coroutine(self.carry_out_here())
        return report

    def all_calls(self) -> list[Any]:
        """The calls, all at once, since none waits for another."""
        calls = self.expand()
        assert not isinstance(calls, Chain), "concurrent maps are never fused"
        return list(calls)

    async def carry_out_here(self) -> BatchReport:
        """The same on the event loop that is running; if cancelled, it reports what has ended."""
        try:
            calls = self.all_calls()
        except Exception as error:  # arguments that cannot be unpickled
            self.fail_rest(0, error)
            self.started[:] = self.ended
            self.done.update(range(len(self.ended)))
            return self.report()
        self.make_room(len(calls))
        running = [
            asyncio.ensure_future(self._run_one(position, call))
            for position, call in enumerate(calls)
        ]
        try:
            await asyncio.gather(*running)
        except asyncio.CancelledError:
            await asyncio.gather(*running, return_exceptions=True)
        self.context.close_nested()
        return self.report()

    def make_room(self, calls: int) -> None:
        """Have places for what comes of so many calls, which end in any order."""
        for column, nothing in ((self.values, None), (self.ended, 0), (self.started, 0)):
            column += [nothing] * calls

    async def _run_one(self, position: int, call: Any) -> None:
        self.started[position] = clock()
        made = _call(self, position, call)
        self.values[position] = await noted(made, self.board, self.batch.id, position)
        self.ended[position] = clock()
        self.done.add(position)

    def untold(self) -> Sequence[int]:
        """The calls that have ended and have not been reported, in order."""
        return sorted(self.done - self.told_of)

    def cut(self) -> int | None:
        """Nothing waits behind anything."""
        return None

    def mark_told(self, calls: Sequence[int]) -> None:
        """These calls have been reported."""
        super().mark_told(calls)
        self.told_of.update(calls)

    def started_between(self, first: int, stop: int) -> bytes | None:
        """When each call began."""
        return array("q", self.started[first:stop]).tobytes()


async def _call(carrier: BatchCarrier, position: int, call: Any) -> Any:
    context = CallContext(
        carrier.batch,
        carrier.values,
        carrier.attempts,
        carrier.names,
        carrier.context.log_line,
        position,
    )
    context.records, context.shown = carrier.records, carrier.shown
    context.nested = carrier.context.nested
    current_call.set(context)
    log_target.set(context)
    task = task_at(carrier.batch.tasks, carrier.batch.body, position)
    is_plain = task.timeout_seconds is None and getattr(task, "holding", None) is None
    function, args, kwargs = call
    context.args, context.kwargs = args, kwargs
    error: BaseException
    state: State[Any] | None
    while True:
        attempt = carrier.attempts.get(position, 1)
        began = _now(carrier)
        try:
            if is_plain:
                value = function(*args, **kwargs)
                is_coroutine = value.__class__ is CoroutineType  # nearly always: no layer more
                value = await value if is_coroutine else await _value_of(value)
            else:
                value = await _await_guarded(task, function, args, kwargs, context)
            if not isinstance(value, State):
                return value
            if value.is_completed():
                return carrier.take_state(position, value, ())
            error, state = error_of(value), value
        except (Exception, SystemExit) as found:
            error, state = found, None
        except asyncio.CancelledError as found:
            if _is_being_cancelled():
                raise
            error, state = found, None  # of something that the call awaited
        outcome = _decide(carrier, context, position, error, state)
        if outcome is None:
            return None
        carrier.earlier.append(
            Attempt(position, attempt, outcome[0], outcome[1], began, _now(carrier))
        )
        carrier.attempts[position] = attempt + 1


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _now(carrier: BatchCarrier) -> int:
    return clock() + carrier.clock_offset


def _decide(
    carrier: BatchCarrier,
    context: CallContext,
    position: int,
    error: BaseException,
    state: State[Any] | None,
) -> Any:
    """Whether a failed call is tried again at once: its state code and failure, or None."""
    code, failure = code_of(error, state), failing.describe(error)
    delay = carrier.next_delay(position, error, code, context)
    if delay is not None and delay <= 0:
        return code, failure
    carrier.end_attempt(position, code, failure, state, delay)
    return None


async def _await_guarded(
    task: TaskLike, function: Function, args: Any, kwargs: Any, context: CallContext
) -> Any:
    holding = getattr(task, "holding", None)
    if holding is not None:
        async with holding():
            return await _await_limited(task, function, args, kwargs, context)
    return await _await_limited(task, function, args, kwargs, context)


async def _await_limited(
    task: TaskLike, function: Function, args: Any, kwargs: Any, context: CallContext
) -> Any:
    seconds = task.timeout_seconds
    if seconds is None:
        return await _value_of(function(*args, **kwargs))
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _value_of(function(*args, **kwargs))
    except TimeoutError as error:
        if limit.expired() and not isinstance(error, TaskRunTimeoutError):
            what = f"Task run {context.task_run_name!r}"
            raise timed_out(what, seconds) from None
        raise


async def _value_of(value: Any) -> Any:
    if hasattr(value, "__aiter__"):
        return [item async for item in value]
    if hasattr(value, "__await__"):
        return await value
    return value
