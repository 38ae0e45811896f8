"""What a runner is: the one door between the run loop and whoever carries out batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dataflow.model.batches import Batch, BatchReport, LogLine
from dataflow.planner.batch_sizes import RunnerCosts


@dataclass(frozen=True, slots=True)
class Remaining:
    """Work that waits for a runner or is under way there; what cannot begin yet is not counted.

    Elements that only share a worker, such as ``async`` ones, count as the batches they make.

    Attributes:
        elements: of tasks whose durations have been measured.
        seconds: what these take on one thread, together.
        unmeasured: the other elements.
    """

    elements: int = 0
    seconds: float = 0.0
    unmeasured: int = 0

    def __bool__(self) -> bool:
        return self.elements + self.unmeasured > 0


Explain = Callable[[Callable[[str], None]], object]
"""Calls what it is given, once it is known, with which worker died, where and why: the beginning of
a sentence."""


class RunnerListener(Protocol):
    """Who a runner tells what happens; every method may be called from any thread."""

    def reported(self, report: BatchReport) -> None:
        """A report of a batch is there."""

    def died(self, batch_ids: Collection[int], explain: Explain) -> None:
        """A worker is gone that had been given these batches; the run logs what it was at.

        What becomes of the batches is another matter: they are ``lost``, or the runner carries them
        out again. Of one death it may be told in parts, with the same ``explain``: those that come
        before that is known are logged together.
        """

    def lost(self, batch_id: int, position: int | None, cause: str, timed_out: bool) -> None:
        """The worker of a batch is gone, and with it what had not been reported.

        ``position`` is the call that it was at: None if that is not known, -1 if it had not begun.
        ``timed_out`` says that the runner ended the worker because that call's time was up.
        """

    def logged(self, batch_id: int, lines: list[LogLine]) -> None:
        """Log lines of a batch that is under way."""

    def resized(self) -> None:
        """The number of slots has changed."""

    def broken(self, error: Exception) -> None:
        """The runner cannot go on: everything that it has fails with this error."""


@runtime_checkable
class Runner(Protocol):
    """Carries out batches.

    Attributes:
        name: what it is called in settings and records.
        shares_objects: whether tasks get the body's own objects (same process) or copies.
        costs: what a batch costs beside its work.
    """

    name: str
    shares_objects: bool
    costs: RunnerCosts

    def start(self, listener: RunnerListener) -> None:
        """Begin to start workers; returns at once, and does nothing if already started."""

    @property
    def slots(self) -> int:
        """How many batches can run at once."""

    @property
    def event_loops(self) -> int:
        """How many event loops carry out ``async`` tasks, beside those batches."""

    def submit(self, batch: Batch) -> None:
        """Carry out a batch; the listener gets its reports. Never blocks, never raises."""

    def cancel(self, batch_ids: Iterable[int]) -> None:
        """End these batches now; each is reported lost, or reported if it was done already."""

    def helps(self, inside: bool) -> bool:
        """Whether who waits for this runner should work meanwhile (``inside`` one of its tasks)."""

    def help(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Carry out one batch in the calling thread, which waits for something.

        Args:
            is_over: whether that has happened; asked before waiting for a batch, and when woken.
            seconds: how long to wait for a batch at most.
        """

    def wake(self) -> None:
        """Have threads that wait in ``help`` ask whether their wait is over."""

    def close(self) -> None:
        """End the workers; a later ``start`` starts new ones."""


class NobodyHelps:
    """What a runner does about help whose workers are no threads of the flow's process."""

    def helps(self, inside: bool) -> bool:
        """Nobody works for the workers."""
        return False

    def help(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Nothing to do here."""
        time.sleep(seconds)

    def wake(self) -> None:
        """Nobody helps, so nobody has to be woken."""


@runtime_checkable
class ElasticRunner(Protocol):
    """What a runner has beside that, if it gets larger and smaller with the work.

    Attributes:
        is_elastic: whether it does, from its first run on; others are told nothing.
    """

    @property
    def is_elastic(self) -> bool:
        """Whether it wants to know what remains."""

    def expect(self, remaining: Remaining) -> None:
        """What remains now, a few times a second while that is anything. Never blocks or raises."""
