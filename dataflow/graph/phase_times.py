"""Where the time of a run goes, summed while it goes on.

A clock reading costs more than what some steps take: so no step of a single element is measured,
and of many calls of ``submit`` only some, which stand for the others. Threads add to the sums
without a lock: what one of them may lose now and then is a single reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dataflow.clock import ticks_ns
from dataflow.model.batches import BatchReport
from dataflow.worker.loading import loading_ns

_EVERY_SUBMIT = 17  # a prime: loops of 2, 4 or 10 unlike calls must not hide some of them


@dataclass(slots=True)
class PhaseTimes:
    """Nanoseconds of each phase (see :class:`~dataflow.model.records.RunTimingRecord`).

    Attributes:
        tasks: by a task's name, how many calls have come back, and how long these took.
    """

    tracing_ns: int = 0
    planning_ns: int = 0
    dispatch_ns: int = 0
    queue_ns: int = 0
    compute_ns: int = 0
    transfer_ns: int = 0
    submits: int = 0
    tasks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def stands_for(self) -> int:
        """For how many calls of ``submit`` the next one stands; 0: it is not measured."""
        number = self.submits
        self.submits = number + 1
        if number < _EVERY_SUBMIT:
            return 1
        return 0 if number % _EVERY_SUBMIT else _EVERY_SUBMIT

    def traced(self, begun: int, stands_for: int = 1) -> None:
        """A call of ``submit`` or ``map`` began at ``begun`` and is done."""
        spent = (ticks_ns() - begun) * stands_for
        self.tracing_ns += spent

    def loaded(self, before_ns: int) -> None:
        """The body got values; this thread had been loading for so long before that."""
        spent = loading_ns() - before_ns
        if spent:
            self.transfer_ns += spent

    def waited(self, handed_ns: int, report: BatchReport, arrived_ns: int) -> None:
        """The first report of a batch is there.

        Args:
            handed_ns: when the batch was handed over (epoch, like ``arrived_ns``).
            report: its times are those of the worker's machine, whose clock may be wrong; that the
                batch cannot have waited longer than it was away bounds the error.
            arrived_ns: when the report came.
        """
        begun_ns = report.first_started_ns + report.clock_offset_ns
        away_ns = arrived_ns - handed_ns - report.busy_ns
        self.queue_ns += max(min(begun_ns - handed_ns, away_ns), 0)

    def called(self, task: str, calls: int, ns: int) -> None:
        """Some calls of a task took so long together."""
        before, spent = self.tasks.get(task, (0, 0))
        self.tasks[task] = before + calls, spent + ns

    def reported(self, report: BatchReport) -> None:
        """What a report says of the time in the worker."""
        self.compute_ns += report.busy_ns - report.loading_ns
        self.transfer_ns += report.loading_ns + report.packing_ns
