"""What came of the calls of a batch so far, and the reports that are made of it.

A report tells of calls that have ended and were not told of before, in columns. Another thread may
ask for one while the calls go on.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from array import array
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from dataflow.clock import ticks_ns
from dataflow.errors import StorageError
from dataflow.model.batches import (
    Attempt,
    Batch,
    BatchReport,
    Column,
    Failure,
    LogLine,
    MapBody,
    Note,
)
from dataflow.model.states import StateCode
from dataflow.worker import failures as failing
from dataflow.worker.board import NEVER, WORDS, Board
from dataflow.worker.call_context import CallContext, place_of, task_at
from dataflow.worker.call_times import NANOSECONDS, CallTimes
from dataflow.worker.columns import as_objects
from dataflow.worker.lending import opened
from dataflow.worker.sizes import LARGE_BYTES, nbytes_of
from dataflow.worker.stage_values import Values

if TYPE_CHECKING:
    from dataflow.worker.persisting import Persister

Pack = Callable[[list[Any], bool], Column]
Deliver = Callable[[BatchReport], None]
T = TypeVar("T")
STAY_BYTES = 1_000_000
"""Values from this size on had better stay where they are."""
_LITTLE = 1_000
_STUCK_NS = 100_000_000
_NOTHING: Mapping[int, int] = {}
clock = ticks_ns


class NotNow(Exception):
    """The values of a part had better be reported with the rest."""


class Outcomes:
    """The calls of one batch, as they end one after another.

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
        self.board: Board = [0] * WORDS if board is None else board
        self.values: Values = []
        self.ended: list[int] | CallTimes = []
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
        self.early: float = NEVER  # when what has ended is told of between two calls
        self._early_to: tuple[Deliver, Pack | None] | None = None  # no call: it would hold this
        self.context = CallContext(
            batch, self.values, self.attempts, self.names, log_line or self.logs.append
        )
        self.context.records, self.context.shown = self.records, self.shown
        self.persister = persister_of(self) if batch.keeps else None

    def name_of(self, position: int) -> str:
        """The name of the task run at a position of the batch."""
        place = place_of(self.batch.tasks, self.batch.body, position)
        return self.names.get(position) or place.default_name

    def report(self) -> BatchReport:
        """All that has not been reported yet of the calls made; nothing is reported after it."""
        with self.lock:
            self.reported = True
            report = self._report(self.untold(), self.pack, final=True)
            if self.pack is not as_objects:
                self._drop_exceptions()
            return report

    def _drop_exceptions(self) -> None:
        """Keep them as what is sent: by the frames of its traceback each holds all of this."""
        for failure in (*self.failures.values(), *(each.failure for each in self.earlier)):
            if failure is not None:
                failure.original = None

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

    def report_early(self, deliver: Deliver, pack: Pack | None = None) -> None:
        """Report between two calls, too, if others wait for them (``Batch.early_seconds``).

        Args:
            deliver, pack: see :meth:`report_part`.
        """
        if self.batch.early_seconds < self.batch.budget_seconds:
            self._early_to = deliver, pack
            self.early = self.begun + self.batch.early_seconds * 1e9

    def pause(self, now: int) -> float:
        """Report what has ended if it is time; until when the next calls need not ask again."""
        if self._early_to is not None and now > self.early:
            pause, done = self.batch.early_seconds * 1e9, len(self.ended)
            if (self.batch.body.calls - done) * (now - self.begun) / done > pause:
                self.report_part(*self._early_to)
            self.early = clock() + pause  # else the report is there as soon
        return min(self.deadline, self.early)

    def _without_passing(self, calls: Sequence[int]) -> Sequence[int]:
        """The first of these calls, without those from which a large value is on its way.

        It would be packed for this part, and be gone when the batch ends.
        """
        last_uses: Mapping[int, int] = getattr(self.batch.body, "last_uses", _NOTHING)
        for at, position in enumerate(calls):
            if (
                last_uses.get(position, -1) > calls[-1]
                and nbytes_of(self.values[position]) >= STAY_BYTES
            ):
                return calls[:at]
        return calls

    def cut(self) -> int | None:
        """Stop behind the call that is being made, if it takes long; the first call after it.

        Only when the time is up: the loop that makes the calls then asks before each of them
        whether it may stop. Those behind it begin elsewhere, but for those that are next, one after
        the other, and take its value: they have to wait for it anyway.
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
            while body.last_uses.get(stop - 1) == stop:  # that takes its value, which may be large
                stop += 1
        if stop >= body.calls:
            return None
        self.stops_at = stop
        return stop

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
        dropped = self.dropped(first, stop)
        self._measure_last(dropped, stop)
        return BatchReport(
            batch_id=self.batch.id,
            first=first,
            states=self._states(first, stop, among),
            clock_offset_ns=self.clock_offset,
            first_started_ns=self.begun if is_first else self.ended[first - 1],
            started=started,
            ended=self._times(first, stop),
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
            dropped=tuple(sorted(dropped)),
            results=results,
            large=_of(self.large, among),
            final=final,
            loading_ns=self.loading_ns,
            packing_ns=packed - packing,
        )

    def _times(self, first: int, stop: int) -> bytes:
        """When calls ended, as they are reported."""
        ended = self.ended
        if isinstance(ended, CallTimes):
            return ended.packed(first, stop)
        return array(NANOSECONDS, ended[first:stop]).tobytes()

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
        except StorageError as error:
            self._fail_without_room(values, chain.from_iterable(kept), error)
            column = pack(values, self.batch.exact)
        except Exception:  # one of them cannot be pickled
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

    def _measure_last(self, dropped: Iterable[int], stop: int) -> None:
        """The same of values that nobody needs any more, where the batch ends with their user.

        Others were measured when they were let go of, before the call after that.
        """
        last_uses: Mapping[int, int] = getattr(self.batch.body, "last_uses", _NOTHING)
        at_end = [at for at in dropped if last_uses[at] == stop - 1]
        self._measure(at_end, [self.values[at] for at in at_end])

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

    def fail_rest(self, position: int, error: Exception) -> None:
        """Fail every call from a position on with the same error."""
        failure = failing.describe(error)
        for rest in range(position, self.batch.body.calls):
            self.codes[rest] = StateCode.FAILED
            self.failures[rest] = failure
            self.values.append(None)
            self.ended.append(clock())

    def _fail_without_room(
        self, values: list[Any], positions: Iterable[int], error: StorageError
    ) -> None:
        """Fail the calls whose values find no room, and take those out of ``values``."""
        failure = failing.describe(error)
        for at, position in enumerate(positions):
            if values[at] is not None:
                self.codes[position] = StateCode.FAILED
                self.failures[position] = replace(failure, source=self.name_of(position))
                self.values[position] = values[at] = None

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

        task = task_at(self.batch.tasks, self.batch.body, position)
        found = transfer_error(
            value,
            f"The result of task {task.name!r}",
            error,
            "Return plain data, or run the flow with task_runner='threads'.",
        )
        self.codes[position] = StateCode.FAILED
        self.failures[position] = failing.describe(found)
        self.values[position] = None


def worker_name() -> str:
    """Who carries out: ``host:pid``."""
    return f"{_host_name()}:{os.getpid()}"


@cache
def _host_name() -> str:
    return socket.gethostname()


def failed_report(batch: Batch, error: Exception) -> BatchReport:
    """The report of a batch that could not even be sent: every call fails with the same error."""
    outcomes = Outcomes(batch, as_objects)
    outcomes.fail_rest(0, error)
    return outcomes.report()


def length_of(value: Any) -> int:
    """How many elements a map over ``value`` has.

    Raises:
        TypeError: it is nothing that a map goes over.
    """
    if isinstance(value, (str, bytes, dict)):
        raise TypeError("text and dicts are not mapped over")
    return len(value)


def persister_of(outcomes: Outcomes) -> Persister:
    """What persists the results of a batch."""
    from dataflow.worker.persisting import Persister

    return Persister(outcomes)


def _picked(values: Values, positions: list[Sequence[int]]) -> list[Any]:
    """The values at some positions: whole slices where those are evenly spaced."""
    picked: list[Any] = []
    for each in positions:
        if isinstance(each, range):
            picked += values[each.start : each.stop : each.step]
        else:
            picked += map(values.__getitem__, each)
    return picked


def _of(found: Mapping[int, T], among: Container[int]) -> dict[int, T]:
    """What is told of some calls, while more is added."""
    return {at: each for at, each in list(found.items()) if at in among} if found else {}


def _taken(found: list[T]) -> list[T]:
    """What is in a list now; it is empty then, while other threads may add to it."""
    taken = found[:]
    del found[: len(taken)]
    return taken
