"""Where a call of a task belongs: to the run that is going on in this context.

* In the body of a flow: that flow run.
* In a task, in the process of its flow: the flow run, whose nodes its calls become.
* In a task, in a worker process: a run of its own inside the worker, a child of the task run; what
  it records travels back with the batch.
* Outside of everything (a notebook cell): the implicit run of the process.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.clock import now_ns
from dataflow.execution.garbage import sparing_collector
from dataflow.execution.hooks.left import call_left_hooks_of
from dataflow.execution.hooks.of_tasks import wait_for_hooks
from dataflow.execution.interruptions import RunCancelled
from dataflow.execution.loop.process_loop import run_loop
from dataflow.execution.loop.run_loop import RunLoop
from dataflow.execution.loop.run_watch import RunWatch
from dataflow.execution.open_runs import cancel_run, open_runs, resume_run
from dataflow.execution.results import wait_for_all
from dataflow.execution.reuse.run_results import RunResults
from dataflow.execution.runner_choice import choose_runner
from dataflow.execution.runner_protocol import Runner
from dataflow.graph.flow_graph import FlowGraph
from dataflow.ids import new_run_id, new_run_name
from dataflow.model.batches import RunInfo, StoreAddress
from dataflow.model.records import (
    DueHooksRecord,
    LogRecord,
    Record,
    RunRecord,
    RunStateRecord,
    RunTimingRecord,
)
from dataflow.model.states import State, StateCode
from dataflow.process_ids import this_process
from dataflow.settings import get_settings
from dataflow.worker.call_context import current_call, current_scope
from dataflow.worker.interruptible import Interruptible
from dataflow.worker.run_logs import FLOW_RUNS

if TYPE_CHECKING:
    from dataflow.execution.reuse.earlier_run import EarlierRun


@dataclass(slots=True, eq=False)
class RunScope:
    """A run that is going on, as its body sees it.

    Attributes:
        info: what tasks may ask about it.
        graph: what was traced of it.
        runner: who carries out its tasks.
        loop: the run loop that looks after it.
        parent: the scope that it was called in.
        log_prints: whether prints of the body become log lines.
        written_before_ns: how long the writer had been busy when the run began.
        results, recent: which bare call returned which object, by ``id()``: those that can be
            referred to weakly, and the last few of the others.
        body: what is interrupted when it is cancelled.
        cancellation: what it is cancelled with; None: it is not.
        resumed: set when somebody resumes it; None: it was never paused.
        put_in: what was put in then, as JSON.
        suspensions: the calls that suspend it (``execution.suspending``); None: there was none.
        flow_run: the call of the flow (``execution.flow_run``); None: it is no flow's.
    """

    info: RunInfo
    graph: FlowGraph
    runner: Runner
    loop: RunLoop
    parent: RunScope | None = None
    log_prints: bool = False
    written_before_ns: int = 0
    sequence: int = 0
    results: dict[int, Any] = field(default_factory=dict)
    recent: OrderedDict[int, Any] = field(default_factory=OrderedDict)
    logger_name: str = FLOW_RUNS
    body: Interruptible = field(default_factory=Interruptible)
    cancellation: RunCancelled | None = None
    resumed: threading.Event | None = None
    put_in: str | None = None
    suspensions: Any = None
    flow_run: Any = None

    @property
    def log_level(self) -> int:
        """Lines below this level are dropped."""
        return self.info.log_level

    def log(self, timestamp_ns: int, level: int, logger: str, message: str) -> None:
        """Take one line of the body's."""
        self.sequence += 1
        record = LogRecord(
            self.info.run_id,
            None,
            None,
            self.info.run_count,
            timestamp_ns,
            level,
            logger,
            message,
            self.info.name,
            self.sequence,
        )
        self.loop.writer.write([record], [])

    def close(self) -> None:
        """End a run inside a worker, when the call that it belongs to has ended."""
        wait_for_all(self.graph)
        wait_for_hooks(self.graph)
        end_run(self, State.of_code(StateCode.COMPLETED))
        self.loop.close()

    def say(self, level: int, message: str) -> None:
        """Log something about the run itself."""
        if level >= self.log_level:
            self.log(now_ns(), level, self.logger_name, message)


class _Door(RunScope):
    """Stands in a worker for the run of a call that is a submitted flow; it records nothing."""

    def close(self) -> None:
        """The flow has ended."""
        self.loop.close()


_lock = threading.Lock()
_Implicit = tuple[int, RunScope, Callable[[], None]]
_implicit: _Implicit | None = None


def log_level() -> int:
    """The level of the settings as a number."""
    level = logging.getLevelName(get_settings().log_level)
    return level if isinstance(level, int) else logging.INFO


def open_store() -> None:
    """Open the store of this process, if no run has yet: that may take long.

    Raises:
        StoreError: it cannot be opened.
    """
    writer = run_loop(_new_watch).writer
    if writer.store is None:
        writer.write_now([])


def open_scope(
    info: RunInfo,
    runner: Runner,
    parent: RunScope | None,
    log_prints: bool = False,
    loop: RunLoop | None = None,
    results: RunResults | None = None,
) -> RunScope:
    """Begin a run: its graph, looked after by the run loop."""
    loop = loop or run_loop(_new_watch)
    graph = FlowGraph(info.run_id, info.flow_name, copies_arguments=not runner.shares_objects)
    graph.info = info
    graph.results = results or RunResults(shares_objects=runner.shares_objects)
    earlier = graph.results.earlier
    if earlier is not None and earlier.run_id == info.run_id:
        graph.line_up(earlier.ids)
    loop.open_graph(graph, runner)
    written = loop.writer.busy_ns
    scope = RunScope(info, graph, runner, loop, parent, log_prints, written)
    graph.say = scope.say
    open_runs[info.run_id] = scope
    if loop.watch is not None:
        loop.watch.attend(info.run_id)
    sparing_collector.begin(info.run_id)
    return scope


def scope_of(run_id: str) -> RunScope | None:
    """The run of that id, if it is going on in this process."""
    found: RunScope | None = open_runs.get(run_id)
    return found


def begin_attempt(scope: RunScope, earlier: EarlierRun) -> None:
    """The body runs again: its nodes line up with those of before, whose results count."""
    before = scope.graph
    graph = FlowGraph(before.run_id, before.flow_name, before.copies_arguments)
    graph.info, graph.say, graph.times = scope.info, scope.say, before.times
    graph.tag_limits, graph.ends_as = before.tag_limits, before.ends_as
    graph.results = replace(before.results, earlier=earlier)
    graph.left_hooks = before.left_hooks
    graph.line_up(earlier.ids)
    before.closed = True
    scope.loop.close_graph(before)
    scope.loop.open_graph(graph, scope.runner)
    scope.graph = graph
    scope.results.clear()
    scope.recent.clear()


def close_scope(scope: RunScope) -> None:
    """End a run: nothing can be added to it any more."""
    scope.graph.closed = True
    scope.graph.large.clear()
    scope.results.clear()
    scope.recent.clear()
    scope.loop.close_graph(scope.graph)
    open_runs.pop(scope.info.run_id, None)
    if scope.loop.watch is not None:
        scope.loop.watch.leave(scope.info.run_id)
    sparing_collector.end(scope.info.run_id)


def _new_watch() -> RunWatch:
    return RunWatch(cancel_run, resume_run, call_left_hooks_of)


def active_scope() -> RunScope:
    """The run that a call made here and now belongs to."""
    scope: RunScope | None = current_scope.get()
    if scope is not None:
        return scope
    call = current_call.get()
    if call is None:
        return _implicit_scope()
    found = scope_of(call.run.run_id)
    return found if found is not None else _scope_in_worker(call)


def _implicit_scope() -> RunScope:
    global _implicit
    with _lock:
        if _implicit is not None and _implicit[0] == os.getpid():
            scope = _implicit[1]
            if not scope.graph.closed and scope.loop is run_loop(_new_watch):
                return scope
        scope = begin_run(
            RunInfo(new_run_id(), new_run_name(), "implicit", log_level=log_level()),
            choose_runner(None),
            None,
        )
        end = partial(_end_implicit, scope)
        _implicit = os.getpid(), scope, end
        atexit.register(end)
        return scope


def _end_implicit(scope: RunScope) -> None:
    if scope.graph.closed or scope.loop.closed:
        return
    wait_for_all(scope.graph)
    wait_for_hooks(scope.graph)
    end_run(scope, State.of_code(StateCode.COMPLETED))


def end_implicit_run(cancel: bool = False) -> None:
    """End the implicit run, if there is one (for tests).

    Args:
        cancel: end what has not ended instead of waiting for it.
    """
    global _implicit
    found, _implicit = _implicit, None
    if found is None or found[0] != os.getpid():
        return
    _, scope, end = found
    atexit.unregister(end)
    if cancel and not (scope.graph.closed or scope.loop.closed):
        scope.loop.cancel(scope.graph)
    end()


def set_aside_implicit() -> _Implicit | None:
    """Take the implicit run away, as it is: the next call outside runs makes another."""
    global _implicit
    found, _implicit = _implicit, None
    return found


def put_back_implicit(found: _Implicit | None) -> None:
    """Have an implicit run again that was set aside."""
    global _implicit
    _implicit = found


def begin_run(
    info: RunInfo,
    runner: Runner,
    parent: RunScope | None,
    *,
    parent_node: int | None = None,
    parameters_json: str = "{}",
    version: str | None = None,
    log_prints: bool = False,
    code_path: str | None = None,
    hooks: tuple[int, ...] = (),
    results: RunResults | None = None,
    created_ns: int | None = None,
    states: Sequence[RunStateRecord] = (),
    also: Sequence[Record] = (),
) -> RunScope:
    """Record that a run begins, and open it.

    Args:
        hooks: the states that its flow has hooks for.
        created_ns: when it was made, if it goes on where it stopped.
        states: those that it enters then, before it is running again.
        also: what else is recorded in one go with that.

    Raises:
        StoreError: it cannot be recorded; then nothing runs.
    """
    # in a worker: the one that reports
    loop = parent.loop if parent is not None else run_loop(_new_watch)
    store = parent.info.store if parent is not None else None
    store = store or StoreAddress(loop.store_place.address, info.run_id)
    scope = open_scope(replace(info, store=store), runner, parent, log_prints, loop, results)
    now = now_ns()
    is_driven = scope.loop.watch is not None
    scope.loop.writer.write_now(
        [
            RunRecord(
                info.run_id,
                info.flow_name,
                info.name,
                parameters_json,
                info.tags,
                info.parent_run_id,
                parent_node,
                runner.name,
                version,
                created_ns or now,
                os.getpid(),
                socket.gethostname(),
                code_path or (sys.argv[0] if sys.argv else None),
                driver=this_process() if is_driven else None,
                hooks=hooks if is_driven else (),
            ),
            *(states or [RunStateRecord(info.run_id, StateCode.PENDING, "Pending", None, now)]),
            RunStateRecord(info.run_id, StateCode.RUNNING, "Running", None, now, info.run_count),
            *also,
        ]
    )
    if scope.loop.watch is not None:
        scope.graph.tag_limits = scope.loop.watch.tag_limits
    return scope


def record_state(
    scope: RunScope, state: State[Any], run_count: int = 1, also: Sequence[Record] = ()
) -> None:
    """Record that a run is in a new state, and what goes with it; returns when the store has it."""
    scope.loop.writer.write_now([state_record(scope, state, run_count), *also])


def state_record(scope: RunScope, state: State[Any], run_count: int = 1) -> RunStateRecord:
    """The record of a run's state."""
    return RunStateRecord(
        scope.info.run_id, int(state.code), state.name, state.message, now_ns(), run_count
    )


def timing_record(scope: RunScope) -> RunTimingRecord:
    """The record of where the time of a run went."""
    times = scope.graph.times
    return RunTimingRecord(
        scope.info.run_id,
        times.tracing_ns,
        times.planning_ns,
        times.dispatch_ns,
        times.queue_ns,
        times.compute_ns,
        times.transfer_ns,
        scope.loop.writer.busy_ns - scope.written_before_ns,
        now_ns(),
        tuple((task, calls, ns) for task, (calls, ns) in times.tasks.items()),
    )


def end_run(
    scope: RunScope, state: State[Any], run_count: int = 1, also: Sequence[Record] = ()
) -> None:
    """Record how a run ended, and what goes with that, and close it."""
    try:
        ending = [state_record(scope, state, run_count), timing_record(scope), *also]
        scope.loop.writer.write_now(ending, is_last=True)
    finally:
        close_scope(scope)


# --- tasks that call tasks inside a worker process -----------------------------------------------


class _ReportStore:
    """Where a run inside a worker records: into the report of the batch that it belongs to."""

    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def write(self, records: Sequence[Record]) -> None:
        """Take records along; hooks that are due are called here."""
        self._records.extend(each for each in records if not isinstance(each, DueHooksRecord))

    def close(self) -> None:
        """Nothing to close."""


def _scope_in_worker(call: Any) -> RunScope:
    """The run inside this worker that the calls of one task run belong to."""
    with _lock:
        scopes = call.nested
        key = (call.position, call.attempt)
        scope: RunScope | None = scopes.get(key)
        if scope is None:
            scope = scopes[key] = _open_in_worker(call)
        return scope


def submitted_call() -> Any:
    """The call whose function is a submitted flow that begins here and now, if there is one."""
    call = current_call.get()
    if call is None or current_scope.get() is not None:
        return None
    return call if getattr(call.place.task.fn, "is_subflow", False) else None


def _open_in_worker(call: Any) -> RunScope:
    place = call.place
    info = RunInfo(
        new_run_id(),
        call.task_run_name,
        place.task.name,
        tags=call.run.tags,
        parent_run_id=call.run.run_id,
        log_level=call.run.log_level,
        store=call.run.store,
    )
    store = _ReportStore(call.records)
    loop = RunLoop(lambda: store, show=lambda lines: None)  # type: ignore[arg-type,return-value]
    runner = load_inline()
    if submitted_call() is not None:  # it has a run of its own, right below that of the call
        graph = FlowGraph(call.run.run_id, "")
        graph.results = RunResults()
        return _Door(call.run, graph, runner, loop, None)
    scope = open_scope(info, runner, None, loop=loop)
    now = now_ns()
    loop.writer.write_now(
        [
            RunRecord(
                info.run_id,
                info.flow_name,
                info.name,
                "{}",
                info.tags,
                info.parent_run_id,
                place.node,
                runner.name,
                None,
                now,
                os.getpid(),
                socket.gethostname(),
                None,
            ),
            RunStateRecord(info.run_id, StateCode.RUNNING, "Running", None, now),
        ]
    )
    return scope


def load_inline() -> Runner:
    """A fresh runner that works in the thread that asks for results."""
    from dataflow.plugins import load_plugin

    runner: Runner = load_plugin("dataflow.runners", "inline")()
    return runner
