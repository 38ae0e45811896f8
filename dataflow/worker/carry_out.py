"""Carrying out a batch: the calls are made, what comes of them is put into columns.

The loop in :meth:`BatchCarrier.make_calls` is what an element costs. It makes one reading of the
clock a call: a call began when the one before it ended. All that is not ordinary (failures,
retries, states as results, names) leaves the loop.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from array import array
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from dataflow.clock import ticks_ns
from dataflow.errors import TaskRunTimeoutError
from dataflow.model.batches import (
    Attempt,
    Batch,
    BatchReport,
    Column,
    Failure,
    LogLine,
    MapBody,
    Note,
    TaskLike,
)
from dataflow.model.states import State, StateCode
from dataflow.worker import failures as failing
from dataflow.worker.board import DEADLINE, NEVER, POSITION, Board
from dataflow.worker.call_context import CallContext, place_of
from dataflow.worker.chained_calls import make_chained_calls
from dataflow.worker.columns import as_objects
from dataflow.worker.expand import Calls, Chain, Function, Inputs, NotReady, expand
from dataflow.worker.lending import opened
from dataflow.worker.loading import loading_ns
from dataflow.worker.run_logs import capture_loggers, capture_prints
from dataflow.worker.sizes import LARGE_BYTES, nbytes_of
from dataflow.worker.timeouts import call_with_timeout

if TYPE_CHECKING:
    from dataflow.worker.persisting import Persister

Pack = Callable[[list[Any], bool], Column]
_STAY_BYTES = 1_000_000
_LITTLE = 1_000
_STAY_NS = 2_000_000_000
_STUCK_NS = 100_000_000
_NOTHING: Mapping[int, int] = {}
Deliver = Callable[[BatchReport], None]
T = TypeVar("T")
clock = ticks_ns


def worker_name() -> str:
    """Who carries out: ``host:pid``."""
    return f"{socket.gethostname()}:{os.getpid()}"


class BatchCarrier:
    """One batch being carried out in this thread.

    Another thread may have it report in parts meanwhile (:meth:`report_part`).

    Args:
        batch: what to do.
        pack: makes a column of values; raises if one cannot be pickled.
        log_line: takes a log line at once (None: they come with the report).
        board: where it is written down what this worker is at; None: nobody needs to know.
    """

    def __init__(
        self,
        batch: Batch,
        pack: Pack,
        log_line: Callable[[LogLine], None] | None = None,
        board: Board | None = None,
    ) -> None:
        self.batch = batch
        self.pack = pack
        self.told = 0  # calls that have been reported
        self.reported = False
        self.stops_at: int | None = None  # no call from here on will be made
        self.lock = threading.Lock()
        self.board: Board = [0] * 5 if board is None else board
        self.values: list[Any] = []
        self.ended: list[int] = []
        self.codes: dict[int, int] = {}
        self.failures: dict[int, Failure] = {}
        self.notes: dict[int, Note] = {}
        self.attempts = dict(batch.attempts)
        self.earlier: list[Attempt] = []
        self.delays: dict[int, float] = {}
        self.names: dict[int, str] = {}
        self.logs: list[LogLine] = []
        self.records: list[Any] = []
        self.shown: list[Any] = []
        self.large: dict[int, int] = {}
        self.loading_ns = 0
        self.clock_offset = time.time_ns() - clock()
        self.begun = clock()
        self.deadline = self.begun + int(batch.budget_seconds * 1e9)
        self.context = CallContext(
            batch, self.values, self.attempts, self.names, log_line or self.logs.append
        )
        self.context.records, self.context.shown = self.records, self.shown
        self.persister = persister_of(self) if batch.keeps else None

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
        invokers = [self.invoker(task, number) for number, task in enumerate(batch.tasks)]
        return expand(batch, invokers, inputs)

    def name_of(self, position: int) -> str:
        """The name of the task run at a position of the batch."""
        place = place_of(self.batch.tasks, self.batch.body, position)
        return self.names.get(position) or place.default_name

    def invoker(self, task: TaskLike, number: int) -> Function:
        """The function that makes one call of a task, with all that its options ask for."""
        function = task.fn
        if task.kind == "generator":
            function = _listed(function)
        if task.timeout_seconds is not None and not task.kind.startswith("async"):
            function = self._limited(function, task.timeout_seconds)
        if task.run_name is not None:
            function = self._named(function, task)
        if self.persister is not None:
            function = self.persister.noting(function, number, task)
        holding = getattr(task, "holding", None)
        if holding is not None and not task.kind.startswith("async"):
            function = _held(function, holding)
        return function

    def make_calls(self, calls: Calls) -> None:
        """Make calls until the stream ends or the budget is spent."""
        board, context = self.board, self.context
        keep, ended, read_clock = self.values.append, self.ended.append, clock
        deadline = self.deadline
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
                if now > deadline and self.may_stop(position):
                    return
        except Exception as error:  # the stream itself: arguments that cannot be unpickled
            self.fail_rest(position, error)

    def make_call(
        self, position: int, function: Function, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        """Make one call, the next one."""
        self.board[POSITION] = position
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
        if position >= body.calls or clock() > self.deadline + _STAY_NS:
            return True
        inside = [source for _, source in body.links[position] or () if type(source) is int]
        with self.lock:
            if self.stops_at is not None and position >= self.stops_at:
                return True
            return all(nbytes_of(self.values[source]) < _STAY_BYTES for source in inside)

    def cut(self) -> int | None:
        """Stop behind the call that is being made, if it takes long; the first call after it.

        Only when the time is up: the loop that makes the calls then asks before each of them
        whether it may stop. Those behind it begin elsewhere; those that take its value wait for it
        wherever they are.
        """
        body, at = self.batch.body, len(self.ended)
        began = self.ended[-1] if at else self.begun
        now = clock()
        if self.stops_at is not None or now < self.deadline or now - began < _STUCK_NS:
            return None
        if isinstance(body, MapBody):
            width = len(body.stages)
            stop = (at // width + 1) * width
        else:
            stop = at + 1
        if stop >= body.calls:
            return None
        self.stops_at = stop
        return stop

    def fail_rest(self, position: int, error: Exception) -> None:
        """Fail every call from a position on with the same error."""
        failure = failing.describe(error)
        for rest in range(position, self.batch.body.calls):
            self.codes[rest] = StateCode.FAILED
            self.failures[rest] = failure
            self.values.append(None)
            self.ended.append(clock())

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
        task = place_of(self.batch.tasks, self.batch.body, position).task
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

    # --- reports ---------------------------------------------------------------------------------

    def report(self) -> BatchReport:
        """All that has not been reported yet of the calls made; nothing is reported after it."""
        with self.lock:
            self.reported = True
            return self._report(self.untold(), self.pack, final=True)

    def report_part(self, deliver: Deliver, pack: Pack | None = None) -> None:
        """Report what has been done so far, while the rest goes on; any thread may ask for it.

        Args:
            deliver: takes the report, if there is anything to tell.
            pack: makes the column of its values; raises NotNow if they had better stay.
        """
        with self.lock:
            if self.reported:
                return
            calls = self._without_passing(self.untold())
            reaches = self.cut()
            tells = reaches is not None or bool(self.shown)
            if not calls and not tells:
                return
            try:
                report = self._report(calls, pack or self.pack, final=False)
            except NotNow:
                if not tells:
                    return
                report = self._report(calls[:0], pack or self.pack, final=False)
            report.reaches = reaches
            deliver(report)

    def _without_passing(self, calls: Sequence[int]) -> Sequence[int]:
        """The first of these calls, without those from which a large value is on its way.

        It would be packed for this part, and be gone when the batch ends.
        """
        last_uses: Mapping[int, int] = getattr(self.batch.body, "last_uses", _NOTHING)
        for at, position in enumerate(calls):
            if (
                last_uses.get(position, -1) > calls[-1]
                and nbytes_of(self.values[position]) >= _STAY_BYTES
            ):
                return calls[:at]
        return calls

    def untold(self) -> Sequence[int]:
        """The calls that have ended and have not been reported, in order."""
        return range(self.told, len(self.ended))

    def _report(self, calls: Sequence[int], pack: Pack, final: bool) -> BatchReport:
        first, stop = (calls[0], calls[-1] + 1) if calls else (self.told, self.told)
        among = calls if isinstance(calls, range) else frozenset(calls)
        packing = clock()
        persister = self.persister
        values, results = None, []
        if persister is None or not persister.drops_values:
            values = self._pack(first, stop, among, pack)
        if persister is not None and calls:
            results = persister.persist(calls)
            if persister.drops_values:
                kept = list(chain.from_iterable(self.kept_positions(first, stop)))
                values = persister.stored(results, kept)
        packed = clock()
        self.mark_told(calls)
        started = self.started_between(first, stop)
        is_first = first == 0 or started is not None
        return BatchReport(
            batch_id=self.batch.id,
            first=first,
            states=self._states(first, stop, among),
            clock_offset_ns=self.clock_offset,
            first_started_ns=self.begun if is_first else self.ended[first - 1],
            started=started,
            ended=array("q", self.ended[first:stop]).tobytes(),
            values=values,
            worker=worker_name(),
            failures=_of(self.failures, among),
            notes=_of(self.notes, among),
            attempts=_of(self.attempts, among),
            earlier=[each for each in self.earlier[:] if each.position in among],
            delays=_of(self.delays, among),
            lengths=self._lengths(among),
            names=_of(self.names, among),
            logs=_taken(self.logs),
            # runs inside these calls are told of with them: their worker may die meanwhile
            records=[*_taken(self.shown), *(_taken(self.records) if calls or final else ())],
            dropped=tuple(sorted(self.dropped(first, stop))),
            results=results,
            large=_of(self.large, among),
            final=final,
            loading_ns=self.loading_ns,
            packing_ns=packed - packing,
        )

    def mark_told(self, calls: Sequence[int]) -> None:
        """These calls have been reported."""
        self.told += len(calls)

    def started_between(self, first: int, stop: int) -> bytes | None:
        """When calls began, where not each did when the one before it ended."""
        return None

    def _states(self, first: int, stop: int, among: Container[int]) -> bytes:
        if isinstance(among, range):
            states = bytearray(bytes((StateCode.COMPLETED,)) * (stop - first))
        else:
            states = bytearray(
                StateCode.COMPLETED if at in among else StateCode.PENDING
                for at in range(first, stop)
            )
        for position, code in _of(self.codes, among).items():
            states[position - first] = code
        return bytes(states)

    def _lengths(self, among: Container[int]) -> dict[int, int | None]:
        lengths: dict[int, int | None] = {}
        for position in self.batch.lengths:
            if position in among:
                try:
                    lengths[position] = length_of(opened(self.values[position]))
                except TypeError:
                    lengths[position] = None
        return lengths

    def _pack(self, first: int, stop: int, among: Container[int], pack: Pack) -> Column | None:
        kept = self.kept_positions(first, stop)
        if not any(kept):
            return None
        if isinstance(among, range):
            values = _picked(self.values, kept)
        else:
            values = [self.values[at] if at in among else None for at in chain.from_iterable(kept)]
        try:
            column = pack(values, self.batch.exact)
        except NotNow:
            raise
        except Exception:
            self._fail_all_unpicklable(values, chain.from_iterable(kept))
            column = pack(values, self.batch.exact)
        if len(self.batch.tasks) > 1 and column.nbytes >= max(LARGE_BYTES, _LITTLE * len(values)):
            self._measure(chain.from_iterable(kept), values)
        return column

    def _measure(self, positions: Iterable[int], values: Sequence[Any]) -> None:
        """Note which values are large: the size of a column does not tell whose they are."""
        for position, value in zip(positions, values, strict=True):
            nbytes = nbytes_of(value)
            if nbytes >= LARGE_BYTES:
                self.large[position] = nbytes

    def kept_positions(self, first: int, stop: int) -> list[Sequence[int]]:
        """The calls in a range whose values are kept, stage after stage."""
        body = self.batch.body
        if isinstance(body, MapBody):
            width = len(body.stages)
            return [
                range(first + (number - first) % width, stop, width)
                for number, stage in enumerate(body.stages)
                if stage.keep
            ]
        dropped = self.dropped(first, stop)
        if not dropped:
            return [range(first, stop)]
        return [[position for position in range(first, stop) if position not in dropped]]

    def dropped(self, first: int, stop: int) -> set[int]:
        """The calls in a range whose values nobody needs once all calls before ``stop`` ended."""
        last_uses: dict[int, int] = getattr(self.batch.body, "last_uses", {})
        return {at for at, last in last_uses.items() if first <= at and last < stop}

    def _fail_all_unpicklable(self, values: list[Any], positions: Iterable[int]) -> None:
        """Fail the calls whose values cannot be pickled, and take those out of ``values``."""
        from dataflow.worker.pickling import dumps

        for at, position in enumerate(positions):
            try:
                dumps(values[at])
            except Exception as error:
                self.fail_unpicklable(position, values[at], error)
                values[at] = None

    def fail_unpicklable(self, position: int, value: Any, error: Exception) -> None:
        """Fail a call, which has ended, because its value cannot be pickled."""
        from dataflow.worker.pickling import transfer_error

        task = place_of(self.batch.tasks, self.batch.body, position).task
        found = transfer_error(
            value,
            f"The result of task {task.name!r}",
            error,
            "Return plain data, or run the flow with task_runner='threads'.",
        )
        self.codes[position] = StateCode.FAILED
        self.failures[position] = failing.describe(found)
        self.values[position] = None

    def _limited(self, function: Function, seconds: float) -> Function:
        board, context = self.board, self.context

        def call(*args: Any, **kwargs: Any) -> Any:
            board[DEADLINE] = time.monotonic_ns() + int(seconds * 1e9)
            try:
                return call_with_timeout(
                    function, args, kwargs, seconds, f"Task run {context.task_run_name!r}"
                )
            finally:
                board[DEADLINE] = NEVER

        return call

    def _named(self, function: Function, task: TaskLike) -> Function:
        context, names = self.context, self.names

        def call(*args: Any, **kwargs: Any) -> Any:
            bound = task.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            names[context.position] = task.run_name.render(dict(bound.arguments))
            return function(*args, **kwargs)

        return call


def _picked(values: list[Any], positions: list[Sequence[int]]) -> list[Any]:
    """The values at some positions: whole slices where those are evenly spaced."""
    picked: list[Any] = []
    for each in positions:
        if isinstance(each, range):
            picked += values[each.start : each.stop : each.step]
        else:
            picked += map(values.__getitem__, each)
    return picked


def persister_of(carrier: BatchCarrier) -> Persister:
    """What persists the results of a batch."""
    from dataflow.worker.persisting import Persister

    return Persister(carrier)


class NotNow(Exception):
    """The values of a part had better be reported with the rest."""


def _of(found: Mapping[int, T], among: Container[int]) -> dict[int, T]:
    """What is told of some calls, while more is added."""
    return {at: each for at, each in list(found.items()) if at in among} if found else {}


def _taken(found: list[T]) -> list[T]:
    """What is in a list now; it is empty then, while other threads may add to it."""
    taken = found[:]
    del found[: len(taken)]
    return taken


def failed_report(batch: Batch, error: Exception) -> BatchReport:
    """The report of a batch that could not even be sent: every call fails with the same error."""
    carrier = BatchCarrier(batch, as_objects)
    carrier.fail_rest(0, error)
    return carrier.report()


def length_of(value: Any) -> int:
    """How many elements a map over ``value`` has.

    Raises:
        TypeError: it is nothing that a map goes over.
    """
    if isinstance(value, (str, bytes, dict)):
        raise TypeError("text and dicts are not mapped over")
    return len(value)


def _held(function: Function, holding: Callable[[], AbstractContextManager[Any]]) -> Function:
    """The call is made while slots are held that other runs want, too."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with holding():
            return function(*args, **kwargs)

    return call


def _listed(function: Function) -> Function:
    def call(*args: Any, **kwargs: Any) -> list[Any]:
        return list(function(*args, **kwargs))

    return call


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
