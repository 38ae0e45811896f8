"""A flow run: parameters, body, end.

``FlowRun`` is the course of one call of a flow, without the calling of the body itself, which
differs between functions (``sync_flow_run``) and coroutines (``async_flow_run``).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow.clock import now_ns
from dataflow.errors import (
    StoreError,
    UpstreamTaskError,
)
from dataflow.execution.displays import offer_display
from dataflow.execution.flow_runs.call_in_place import Resolver
from dataflow.execution.flow_runs.ending import state_of_exception, state_of_result
from dataflow.execution.flow_runs.hooks import FlowHooks
from dataflow.execution.hooks.left import find_left_hooks
from dataflow.execution.hooks.of_tasks import wait_for_hooks
from dataflow.execution.interruptions import (
    RunSuspended,
    code_of_interruption,
    is_cancellation,
    message_of_interruption,
)
from dataflow.execution.open_runs import cancel_run
from dataflow.execution.records_of import node_record, subflow_record
from dataflow.execution.results import wait_for_all
from dataflow.execution.reuse.run_results import RunResults
from dataflow.execution.runner_choice import choose_runner
from dataflow.execution.scope import (
    RunScope,
    active_scope,
    begin_attempt,
    begin_run,
    end_run,
    log_level,
    open_store,
    record_state,
    submitted_call,
)
from dataflow.graph.references import find_refs
from dataflow.graph.tags import current_tags
from dataflow.graph.trace import trace_call
from dataflow.ids import new_run_id, new_run_name
from dataflow.model.batches import RunInfo
from dataflow.model.records import (
    THE_RUN,
    NodeLengthRecord,
    Record,
)
from dataflow.model.states import State, StateCode
from dataflow.settings import get_settings
from dataflow.worker.call_context import current_call, current_scope, current_transaction
from dataflow.worker.failures import text_of
from dataflow.worker.interruptible import uninterrupted
from dataflow.worker.run_logs import capture_loggers, capture_prints, log_target

if TYPE_CHECKING:
    from dataflow.execution.control.resuming import Resumption
    from dataflow.execution.reuse.earlier_run import EarlierRun


_CONTEXT: tuple[ContextVar[Any], ...] = (
    current_scope,
    log_target,
    current_call,
    current_transaction,
    current_tags,
)
"""What a body finds, and what code in it enters: it is left, wherever a signal arrives."""


class FlowRun:
    """One call of a flow."""

    def __init__(
        self,
        flow: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        resumption: Resumption | None = None,
    ) -> None:
        self.flow = flow
        self.resumption = resumption
        self.parent = _parent()
        self.call = submitted_call()
        self.node: Any = None
        self.node_begun = now_ns()
        self.upstream_error: BaseException | None = None
        if self.parent is not None and self.call is None:
            args, kwargs = self._add_to_parent(args, kwargs, wait_for)
        self.error: BaseException | None = self.upstream_error
        self.parameters: dict[str, Any] = {}
        if self.error is None:
            try:
                self.parameters = flow.validated_parameters(args, kwargs)
            except Exception as error:
                self.error = error
        self.attempt = 1 if resumption is None else resumption.summary.run_count + 1
        self._first_attempt = self.attempt
        self.found: State[Any] | None = None
        self._earlier: EarlierRun | None = None if resumption is None else resumption.earlier
        self._scope: RunScope | None = None
        self._hooks = FlowHooks(flow)
        self._end = threading.Lock()  # held once somebody records it
        self._outside = [(each, each.get()) for each in _CONTEXT]

    @property
    def scope(self) -> RunScope:
        """The run, once it has begun."""
        assert self._scope is not None
        return self._scope

    @property
    def has_begun(self) -> bool:
        """Whether there is a run that has to be ended."""
        return self._scope is not None

    @property
    def has_ended(self) -> bool:
        """Whether its end is being recorded, or has been."""
        return self._end.locked()

    def begin(self) -> None:
        """Record that the run begins.

        Raises:
            StoreError: it cannot be recorded; then nothing runs.
            RunnerNotFound: its runner does not exist.
        """
        self._look_back()
        if self.found is not None:
            return
        if self.parent is None:
            open_store()
        with uninterrupted():
            self._scope = self._open()
            self._scope.flow_run = self
        results = self.scope.graph.results
        if results.persists_by_itself and self.error is None:
            from dataflow.execution.flow_runs.results import prepare_results

            self.error = prepare_results(
                results, self.scope.info.run_id, self.parameters, self.resumption is None
            )
        name = self.scope.info.name
        self.scope.say(logging.INFO, f"Beginning flow run {name!r} for flow {self.flow.name!r}")
        self._announce_start(self.scope)

    def _look_back(self) -> None:
        """In a run that goes on or is tried again, a subflow that ran before goes on, too."""
        earlier = self.parent.graph.results.earlier if self.parent is not None else None
        if earlier is None or self.node is None or self.error is not None:
            return
        from dataflow.execution.control.resuming import earlier_subflow
        from dataflow.execution.flow_runs.results import parameters_digest
        from dataflow.hashing.values import source_of

        assert self.parent is not None
        run_id, store = earlier.children.get(self.node.key), self.parent.loop.lookups.store
        if run_id is None or store is None:
            return
        digest = parameters_digest(self.flow, self.parameters)
        source = source_of(self.flow.fn)
        transaction = current_transaction.get()
        in_transaction = transaction is not None and transaction.is_active()
        going_on, self.found = earlier_subflow(
            store, run_id, digest, source, earlier.reuse_changed, in_transaction
        )
        if self.found is not None:
            earlier.reused += 1
            if in_transaction and any(each.has_committed for each in going_on.all_earlier()):
                transaction.note_committed_before()
            self._record_found(run_id, self.node.key in earlier.ended)
            return
        self.resumption, self._earlier = going_on, going_on.earlier
        self.attempt = self._first_attempt = going_on.summary.run_count + 1

    def _record_found(self, run_id: str, is_recorded: bool) -> None:
        """A subflow need not run again; its end may not have been recorded in its parent."""
        assert self.parent is not None
        completed = int(StateCode.COMPLETED)
        ended, told = subflow_record(self.node, completed, self.node_begun, now_ns())
        records = [node_record(self.node, run_id), *([] if is_recorded else ended)]
        self.parent.loop.writer.write(records, told)

    def _add_to_parent(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Become a node of the run that this flow is called in; futures become values."""
        assert self.parent is not None
        resolver = Resolver(self.parent)
        args = tuple(map(resolver.resolve, args))
        kwargs = {name: resolver.resolve(value) for name, value in kwargs.items()}
        order = tuple(find_refs(wait_for)) if wait_for is not None else ()
        self.node = trace_call(self.parent.graph, "flow", self.flow, resolver.refs, order)
        for ref in order:
            resolver.value(ref)
        if resolver.failed is not None:
            self.upstream_error = UpstreamTaskError(
                f"Flow run {self.node.key!r} did not run, because what it needs failed: "
                f"{type(resolver.failed).__name__}: {text_of(resolver.failed)}"
            )
            self.upstream_error.__cause__ = resolver.failed
        return args, kwargs

    def _open(self) -> RunScope:
        flow, parent = self.flow, self.parent
        runner = (
            parent.runner
            if parent and flow.task_runner is None
            else choose_runner(flow.task_runner)
        )
        inherited = parent.graph.results if parent else RunResults()
        results = inherited.within(flow.results, runner.shares_objects)
        settings = get_settings()
        node = self.node.id if self.node is not None else None
        if self.call is not None:
            node = self.call.place.node
        log_prints = settings.log_prints if flow.log_prints is None else flow.log_prints
        goes_on = self.resumption
        results.earlier = self._earlier
        info = RunInfo(
            run_id=goes_on.summary.run_id if goes_on else new_run_id(),
            name=goes_on.summary.name if goes_on else self._name() or new_run_name(),
            flow_name=flow.name,
            tags=tuple(sorted({*flow.tags, *current_tags.get()})),
            parameters=self.parameters,
            parent_run_id=parent.info.run_id if parent else None,
            run_count=self.attempt,
            scheduled_ns=self.node_begun,
            log_level=log_level(),
            log_prints=log_prints,
        )
        is_resumed = goes_on is not None and parent is None
        with goes_on.taken_up() if goes_on and is_resumed else contextlib.nullcontext():
            suspensions = goes_on.suspensions(results) if goes_on and is_resumed else None
            left = find_left_hooks(goes_on.store, info.run_id) if goes_on else {}
            states = goes_on.records() if goes_on else []
            scope = begin_run(
                info,
                runner,
                parent,
                parent_node=node,
                parameters_json=_as_json(self.parameters),
                version=flow.version,
                log_prints=log_prints,
                code_path=flow.code_path,
                hooks=self._hooks.states(),
                results=results,
                created_ns=goes_on.summary.created_ns if goes_on else None,
                states=states,
                also=[
                    *self._records_in_parent(info.run_id),
                    *self._hooks.due_at_start(info, states, left.pop(THE_RUN, [])),
                ],
            )
        scope.suspensions = suspensions
        scope.graph.left_hooks = left
        return scope

    def _records_in_parent(self, run_id: str) -> list[Record]:
        """What is recorded above it in one go with its beginning: that it is found from there."""
        if self.node is not None:
            return [node_record(self.node, run_id)]
        if self.call is not None and self.call.place.index is None:
            return [NodeLengthRecord(self.call.run.run_id, self.call.place.node, None, run_id)]
        return []

    def _name(self) -> str | None:
        """The name that the flow's template gives; a bad one fails the run, not our books."""
        if self.error is not None:
            return None
        try:
            name: str | None = self.flow.render_run_name(self.parameters)
        except Exception as error:
            self.error = error
            return None
        return name

    def _announce_start(self, scope: RunScope) -> None:
        from dataflow import events

        if self.parent is None:
            offer_display()
        info = scope.info
        if events.has_subscribers():
            events.publish(
                events.RunStarted(info.run_id, info.name, info.flow_name, info.parent_run_id)
            )
        self._hooks.call(scope)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """The body runs in this."""
        capture_loggers()
        if self.scope.log_prints:
            capture_prints()
        scope = current_scope.set(self.scope)
        target = log_target.set(self.scope)
        call = current_call.set(None)
        try:
            yield
        finally:
            current_call.reset(call)
            log_target.reset(target)
            current_scope.reset(scope)

    def retry_delay(self, state: State[Any]) -> float | None:
        """Seconds until the body is run again; None if it is not."""
        policy = self.flow.retry_policy
        tried = self.attempt - self._first_attempt
        if state.is_completed() or state.is_cancelled() or tried >= policy.retries:
            return None
        if self.error is not None:
            return None
        delay: float = policy.delay_before(tried + 1)
        waiting = State.of_code(StateCode.AWAITING_RETRY, message=state.message)
        record_state(self.scope, waiting, self.attempt)
        self.attempt += 1
        return delay

    def begin_again(self) -> None:
        """The body is about to be run again."""
        self.scope.info = replace(self.scope.info, run_count=self.attempt)
        self.scope.graph.info = self.scope.info
        if self.scope.suspensions is not None:
            self.scope.suspensions.made = 0
        retrying = State.of_code(StateCode.RETRYING)
        due = self._hooks.due(self.scope.info.run_id, retrying, self.attempt)
        record_state(self.scope, retrying, self.attempt, due)
        if self.scope.graph.results.persists:
            from dataflow.execution.reuse.earlier_run import EarlierRun

            store = self.scope.loop.lookups.store
            if store is not None:
                begin_attempt(self.scope, EarlierRun(store, self.scope.info.run_id))
        self._hooks.call(self.scope)

    def state_after(self, result: Any) -> State[Any]:
        """Wait for all that was submitted; the state for what the body returned."""
        wait_for_all(self.scope.graph)
        state = state_of_result(self.scope, result, self.flow.fail_on_unhandled)
        cancellation = self.scope.cancellation
        if cancellation is None or state.is_completed() or state.is_cancelled():
            return state
        return State.of_code(StateCode.CANCELLED, message=cancellation.message)

    def state_after_error(self, error: BaseException) -> State[Any]:
        """The state for what the body raised; what was submitted still runs to its end."""
        if isinstance(error, RunSuspended) and self.scope.cancellation is None:
            return State.of_code(StateCode.SUSPENDED, message=error.message)
        if isinstance(error, Exception) and self.scope.cancellation is None:
            if self.scope.graph.error is None:
                wait_for_all(self.scope.graph)
            return state_of_exception(error)
        return self._interrupted(error)

    def _interrupted(self, error: BaseException) -> State[Any]:
        """It is cancelled, or sys.exit was called: end what is under way, say so."""
        cancellation = self.scope.cancellation
        code = code_of_interruption(cancellation or error)
        said = message_of_interruption("Flow run", cancellation or error)
        try:
            self._wind_up(code, said)
        except KeyboardInterrupt:  # asked for twice: now
            said = f"{said} It was not waited for."
        data = error if cancellation is None else None
        return State.of_code(code, message=said, data=data)

    def _wind_up(self, code: StateCode, said: str) -> None:
        """End all that goes on in it and below it, and wait for that."""
        scope = self.scope
        is_new = scope.cancellation is None and code is StateCode.CANCELLED
        cancel_run(scope.info.run_id, said)
        scope.loop.cancel(scope.graph, int(code))
        with contextlib.suppress(Exception):
            if is_new:
                record_state(scope, State.of_code(StateCode.CANCELLING, message=said), self.attempt)
            wait_for_all(scope.graph)

    def raise_missed(self, state: State[Any]) -> None:
        """Raise the signal that has cancelled it, and that got lost where it was raised before.

        (In a destructor, for one. That tasks were cancelled is then all that the body hears of.)
        """
        cancellation = self.scope.cancellation
        if state.is_cancelled() and cancellation is not None and cancellation.signal is not None:
            raise cancellation.signal

    def ends_alone(self, error: BaseException) -> bool:
        """Whether this run was cancelled or suspended, and none around it: its caller goes on."""
        if isinstance(error, RunSuspended):
            return True
        cancellation = self.scope.cancellation
        if cancellation is None or cancellation.run_id != self.scope.info.run_id:
            return False
        return error is cancellation or is_cancellation(error)

    def end(self, state: State[Any]) -> None:
        """Record how it ended; call the hooks."""
        for variable, value in self._outside:
            variable.set(value)
        try:
            wait_for_hooks(self.scope.graph)
        except KeyboardInterrupt:
            if not state.is_cancelled():
                raise
        finally:  # also when Ctrl-C ends the wait
            self._end_whole(state)

    def _end_whole(self, state: State[Any]) -> None:
        is_first = False
        try:
            with uninterrupted():
                is_first = self.record_end(state)
        finally:  # a signal that came meanwhile is raised now
            if is_first:
                self.announce_end(state)

    def record_end(self, state: State[Any]) -> bool:
        """Record how it ended; False if somebody else does, from outside or in its own thread."""
        if not self._end.acquire(blocking=False):
            return False
        self._record_end(state)
        return True

    def _record_end(self, state: State[Any]) -> None:
        is_well = state.is_completed() or state.is_paused()
        level = logging.INFO if is_well else logging.ERROR
        level = logging.WARNING if state.is_cancelled() else level
        said = f": {state.message}" if state.message else ""
        results = self.scope.graph.results
        if results.earlier is not None:
            self.scope.say(logging.INFO, f"Resumed: {results.earlier.summary()}")
        if state.is_completed() and results.persists_by_itself:
            from dataflow.execution.flow_runs.results import keep_result

            keep_result(self.scope, self.flow, self.parameters, state.data)
        self.scope.say(level, f"Finished in state {state.name}{said}")
        try:
            due = self._hooks.due(self.scope.info.run_id, state, self.attempt)
            end_run(self.scope, state, self.attempt, due)
            if state.is_cancelled() or state.is_crashed():
                with contextlib.suppress(StoreError):  # whoever looks later finds them crashed
                    self.scope.loop.writer.end_below(self.scope.info.run_id, state)
        finally:
            if self.parent is not None and self.node is not None:
                record = subflow_record(self.node, int(state.code), self.node_begun, now_ns())
                self.parent.loop.writer.write(*record)

    def announce_end(self, state: State[Any]) -> None:
        """Tell those who listen how it ended, and call the hooks."""
        from dataflow import events

        if events.has_subscribers():
            info = self.scope.info
            events.publish(events.RunStateChanged(info.run_id, info.name, state))
        self._hooks.call(self.scope)


def _parent() -> RunScope | None:
    """The run that a flow is called in: a flow's body, or a task."""
    scope: RunScope | None = current_scope.get()
    if scope is None and current_call.get() is not None:
        return active_scope()
    return scope


def _as_json(parameters: dict[str, Any]) -> str:
    if not parameters:
        return "{}"
    from dataflow.model.parameter_text import parameters_to_json

    return parameters_to_json(parameters)
