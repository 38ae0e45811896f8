"""Carrying out a batch: the calls are made, one after another, and made again where they are to be.

The loop in :meth:`BatchCarrier.make_calls` is what an element costs. It makes one reading of the
clock a call: a call began when the one before it ended. All that is not ordinary (failures,
retries, states as results, names) leaves the loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dataflow.errors import TaskRunTimeoutError
from dataflow.model.batches import Attempt, BatchReport, Failure, MapBody, Note, TaskLike
from dataflow.model.states import State, StateCode
from dataflow.worker import failures as failing
from dataflow.worker.board import POSITION
from dataflow.worker.call_context import CallContext, task_at
from dataflow.worker.chained_calls import make_chained_calls
from dataflow.worker.columns import as_objects
from dataflow.worker.expand import Calls, Chain, Function, Inputs, NotReady, expand
from dataflow.worker.invokers import invoker
from dataflow.worker.loading import loading_ns
from dataflow.worker.outcomes import STAY_BYTES, Outcomes, clock
from dataflow.worker.run_logs import capture_loggers, capture_prints
from dataflow.worker.sizes import nbytes_of

_STAY_NS = 2_000_000_000


class BatchCarrier(Outcomes):
    """One batch being carried out in this thread.

    Another thread may have it report in parts meanwhile (:meth:`report_part`).

    Attributes:
        stay_ns: for how long it goes on after its time where the next call takes a large value.
    """

    stay_ns: float = _STAY_NS

    def carry_out(self) -> BatchReport:
        """Make the calls until they are done or the time is up; never raises for a user's error."""
        before = loading_ns()
        self.capture()
        with self.context.entered():
            try:
                calls = self.expand()
                if isinstance(calls, Chain):
                    make_chained_calls(self, calls)
                else:
                    self.make_calls(calls)
            finally:
                self.context.close_nested()
        self.loading_ns = loading_ns() - before
        return self.report()

    def whole_report(self, value: Any, error: Exception | None) -> BatchReport:
        """The report of a single call that somebody else has made."""
        self.context.close_nested()
        if error is not None:
            failure = failing.describe(error)
            self.end_attempt(0, code_of(error, None), failure, None, None)
        self.values.append(value)
        self.ended.append(clock())
        return self.report()

    def capture(self) -> None:
        """Have loggers and prints reach the runs that want them."""
        capture_loggers()
        if any(task.log_prints for task in self.batch.tasks) or self.batch.run.log_prints:
            capture_prints()

    def expand(self) -> Calls | Chain:
        """The stream of this batch's calls."""
        batch = self.batch
        inputs = Inputs(
            batch.inputs,
            self.values,
            self.failures,
            self.name_of,
            self.lock,
            None if self.pack is as_objects else self.fail_unpicklable,
        )
        self.large = inputs.large
        invokers = [invoker(self, task, number) for number, task in enumerate(batch.tasks)]
        return expand(batch, invokers, inputs)

    def make_calls(self, calls: Calls) -> None:
        """Make calls until the stream ends or the budget is spent."""
        board, context = self.board, self.context
        keep, ended, read_clock = self.values.append, self.ended.append, clock
        until = min(self.deadline, self.early)
        position = 0
        try:
            for function, args, kwargs in calls:
                board[POSITION] = position
                context.args, context.kwargs = args, kwargs
                try:
                    value = function(*args, **kwargs)
                    if value.__class__ is State:
                        value = self.take_state(position, value, (function, args, kwargs))
                except (Exception, SystemExit) as error:
                    value = self.recover(position, error, (function, args, kwargs))
                keep(value)
                now = read_clock()
                ended(now)
                position += 1
                if now > until:
                    if now > self.deadline and self.may_stop(position):
                        return
                    until = self.pause(now)
        except Exception as error:  # the stream itself: arguments that cannot be unpickled
            self.fail_rest(position, error)

    def make_call(self, function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Make one call, the next one."""
        position = len(self.values)
        self.context.args, self.context.kwargs = args, kwargs
        try:
            value = function(*args, **kwargs)
            if isinstance(value, State):
                value = self.take_state(position, value, (function, args, kwargs))
        except (Exception, SystemExit) as error:
            value = self.recover(position, error, (function, args, kwargs))
        self.take_value(value)

    def take_value(self, value: Any) -> None:
        """The call under way has ended with this value (None where it has none)."""
        self.values.append(value)
        self.ended.append(clock())

    def may_stop(self, position: int) -> bool:
        """Whether the batch may be cut before this position, now that its time is up.

        Not amid an element, and not for a while where the next call takes a large value from here:
        it would have to be moved.
        """
        body = self.batch.body
        if isinstance(body, MapBody):
            return position % len(body.stages) == 0
        if position >= body.calls or clock() > self.deadline + self.stay_ns:
            return True
        inside = [source for _, source in body.links[position] or () if type(source) is int]
        with self.lock:
            if self.stops_at is not None and position >= self.stops_at:
                return True
            return all(nbytes_of(self.values[source]) < STAY_BYTES for source in inside)

    def take_state(self, position: int, state: State[Any], call: Any) -> Any:
        """A call returned a state: it counts. Returns the value of the call."""
        code = state.code
        if code in (StateCode.COMPLETED, StateCode.CACHED, StateCode.SKIPPED):
            self.codes[position] = code
            self.notes[position] = Note(state.name, state.message)
            return state.data
        return self.recover(position, error_of(state), call, state)

    def recover(
        self, position: int, error: BaseException, call: Any, state: State[Any] | None = None
    ) -> Any:
        """A call failed: run it again, let it await its retry, or let it be. Its value if any."""
        if isinstance(error, NotReady):
            self.codes[position] = StateCode.NOT_READY
            self.failures[position] = self._upstream_failure(error)
            return None
        first = error
        began = self.ended[-1] if self.ended else self.begun
        try:
            while True:
                now = clock()
                code = code_of(error, state)
                failure = failing.describe(error)
                delay = self.next_delay(position, error, code, self.context)
                if delay is None or delay > 0:
                    self.end_attempt(position, code, failure, state, delay)
                    return None
                attempt = self.attempts.get(position, 1)
                self.earlier.append(
                    Attempt(
                        position,
                        attempt,
                        code,
                        failure,
                        began + self.clock_offset,
                        now + self.clock_offset,
                    )
                )
                began = now
                self.attempts[position] = attempt + 1
                function, args, kwargs = call
                try:
                    value = function(*args, **kwargs)
                except (Exception, SystemExit) as again:
                    failing.detach(again, first)
                    error, state = again, None
                    continue
                if not isinstance(value, State):
                    return value
                if value.is_completed():
                    return self.take_state(position, value, call)
                error, state = error_of(value), value
        finally:
            del error, first  # the frames of a later attempt's traceback lead here

    def end_attempt(
        self,
        position: int,
        code: int,
        failure: Failure,
        state: State[Any] | None,
        delay: float | None,
    ) -> None:
        """This attempt of a call was the last, or the last for now."""
        failure.source = self.name_of(position)
        self.failures[position] = failure
        if delay is not None:
            self.codes[position] = StateCode.AWAITING_RETRY
            self.delays[position] = delay
            return
        self.codes[position] = code
        if state is not None:
            self.notes[position] = Note(state.name, state.message)

    def next_delay(
        self, position: int, error: BaseException, code: int, context: CallContext
    ) -> float | None:
        """Seconds until the next attempt of a call; None if there is none."""
        task = task_at(self.batch.tasks, self.batch.body, position)
        attempt = self.attempts.get(position, 1)
        policy = task.retry_policy
        if attempt > policy.retries:
            return None
        if policy.condition is not None and not _wants_retry(context, policy, task, code, error):
            return None
        delay: float = policy.delay_before(attempt)
        return delay

    def _upstream_failure(self, error: NotReady) -> Failure:
        assert error.position is not None
        cause = self.failures[error.position]
        root = error.position if cause.cause_position is None else cause.cause_position
        return replace(cause, cause_position=root)


def error_of(state: State[Any]) -> BaseException:
    """The exception of a state that is not Completed."""
    error: BaseException = state.data if isinstance(state.data, BaseException) else state.as_error()
    return error


def code_of(error: BaseException, state: State[Any] | None) -> int:
    """The state of a call that raised ``error`` or returned ``state``."""
    if state is not None:  # one that does not end a run fails it: nobody would ever go on
        return int(state.code if state.code.is_ended else StateCode.FAILED)
    if not isinstance(error, Exception):  # SystemExit, CancelledError
        return StateCode.CRASHED
    return StateCode.TIMED_OUT if isinstance(error, TaskRunTimeoutError) else StateCode.FAILED


def _wants_retry(
    context: CallContext, policy: Any, task: TaskLike, code: int, error: BaseException
) -> bool:
    from dataflow.worker.task_run import TaskRun

    state: State[Any] = State.of_code(StateCode(code), message=failing.text_of(error), data=error)
    try:
        return bool(policy.condition(task, TaskRun.here(context), state))
    except Exception as problem:
        context.log(
            time.time_ns(),
            40,
            context.logger_name,
            f"retry_condition_fn of task {task.name!r} raised {problem!r}: no retry.",
        )
        return False
