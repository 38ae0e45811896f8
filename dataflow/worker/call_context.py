"""Which call is going on: what ``runtime.task_run`` and log lines are answered from.

One context serves all calls that a worker makes one after the other: the position is read off the
columns as they grow, so that a call costs nothing for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from dataflow.model.batches import Batch, Body, LogLine, MapBody, RunInfo, TaskLike
from dataflow.model.functions import bind
from dataflow.worker.run_logs import TASK_RUNS, log_target

FindArgs = Callable[[int], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """A call, as the graph knows it: its node, and its index if the node is a map."""

    task: TaskLike
    node: int
    number: int
    index: int | None

    @property
    def default_name(self) -> str:
        """``name-<n>``, and ``[i]`` for an element."""
        name = f"{self.task.name}-{self.number}"
        return name if self.index is None else f"{name}[{self.index}]"


def place_of(tasks: list[TaskLike], body: Body, position: int) -> Place:
    """The call at a position of a batch."""
    if isinstance(body, MapBody):
        element, stage_number = divmod(position, len(body.stages))
        stage = body.stages[stage_number]
        return Place(tasks[stage.task], stage.node, stage.number, body.indices[element])
    return Place(tasks[body.tasks[position]], body.nodes[position], body.numbers[position], None)


def task_at(tasks: list[TaskLike], body: Body, position: int) -> TaskLike:
    """The task of the call at a position of a batch."""
    if isinstance(body, MapBody):
        return tasks[body.stages[position % len(body.stages)].task]
    return tasks[body.tasks[position]]


class CallContext:
    """The call that this thread (or coroutine) is making.

    Attributes:
        done: what the calls before it returned.
        find_args: given its position, what it gets, if that is not written down in ``args``.
    """

    __slots__ = (
        "_position",
        "args",
        "attempts",
        "batch",
        "done",
        "find_args",
        "kwargs",
        "log_line",
        "names",
        "nested",
        "records",
        "shown",
    )

    logger_name = TASK_RUNS

    def __init__(
        self,
        batch: Batch,
        done: Sequence[Any],
        attempts: dict[int, int],
        names: dict[int, str],
        log_line: Callable[[LogLine], None],
        position: int | None = None,
    ) -> None:
        self.batch = batch
        self.attempts = attempts
        self.names = names
        self.log_line = log_line
        self.args: Sequence[Any] = ()
        self.kwargs: dict[str, Any] = {}
        self.find_args: FindArgs | None = None
        self.records: list[Any] = []  # of runs inside this call
        self.shown: list[Any] = []  # artifacts
        self.nested: dict[tuple[int, int], Any] = {}
        self.done = done
        self._position = position

    @property
    def run(self) -> RunInfo:
        """The flow run."""
        batch = self.batch
        if batch.parameters is not None:
            parameters = batch.inputs[batch.parameters].load(0)
            batch.run, batch.parameters = replace(batch.run, parameters=parameters), None
        return batch.run

    @property
    def position(self) -> int:
        """Which call of the batch this is."""
        return len(self.done) if self._position is None else self._position

    @property
    def place(self) -> Place:
        """The node and index of this call."""
        return place_of(self.batch.tasks, self.batch.body, self.position)

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self.attempts.get(self.position, 1)

    @property
    def task_run_name(self) -> str:
        """The name of this task run."""
        return self.names.get(self.position) or self.place.default_name

    def bound_parameters(self) -> dict[str, Any]:
        """The arguments of this call by parameter, defaults filled in."""
        bound = bind(self.place.task.signature, self._call_args, self.kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    @property
    def _call_args(self) -> Sequence[Any]:
        return self.args if self.find_args is None else self.find_args(self.position)

    @property
    def log_prints(self) -> bool:
        """Whether prints become log lines."""
        wanted = self.place.task.log_prints
        return self.batch.run.log_prints if wanted is None else wanted

    @property
    def log_level(self) -> int:
        """Lines below this level are dropped."""
        return self.batch.run.log_level

    def log(self, timestamp_ns: int, level: int, logger: str, message: str) -> None:
        """Take one line for this call."""
        line = LogLine(
            self.position, self.attempt, timestamp_ns, level, logger, message, self.task_run_name
        )
        self.log_line(line)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What runs inside this is part of the call."""
        call, target = current_call.set(self), log_target.set(self)
        try:
            yield
        finally:
            log_target.reset(target)
            current_call.reset(call)

    def close_nested(self) -> None:
        """End the runs that the calls of this batch began inside this worker."""
        for scope in self.nested.values():
            scope.close()
        self.nested.clear()


occupies_slot: ContextVar[bool] = ContextVar("dataflow_occupies_slot", default=False)
"""Whether this thread (or coroutine) is at a batch that a runner in this process counts."""

current_scope: ContextVar[Any] = ContextVar("dataflow_run", default=None)
"""The flow run whose body this thread (or coroutine) is in (``execution.scope.RunScope``)."""

current_call: ContextVar[CallContext | None] = ContextVar("dataflow_call", default=None)

current_transaction: ContextVar[Any] = ContextVar("dataflow_transaction", default=None)
"""The innermost transaction that goes on here (``execution.transactions.Transaction``)."""
