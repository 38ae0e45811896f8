"""A bare call of a task: it runs here and now, through the same states, retries and records.

It is a batch of one call that this thread carries out itself; only the delays between retries are
waited for here instead of by the run loop.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Iterator
from typing import Any

from dataflow.clock import now_ns
from dataflow.errors import CancelledRun, CrashedRun, StoreError, UpstreamTaskError
from dataflow.execution.announcements import CallEnded
from dataflow.execution.hooks.calling import hooks_for, run_task_hooks, task_hook_arguments
from dataflow.execution.hooks.due import call_in_turn, due_record
from dataflow.execution.hooks.left import call_left_hooks
from dataflow.execution.interruptions import code_of_interruption, message_of_interruption
from dataflow.execution.limits.limited_tasks import limited
from dataflow.execution.loop.queues import batch_ids, keeps_of
from dataflow.execution.loop.result_records import result_records
from dataflow.execution.loop.run_loop import HELD_SECONDS
from dataflow.execution.records_of import (
    attempt_records,
    batch_records,
    log_records,
    message_of,
    node_record,
    unbegun_records,
)
from dataflow.execution.results import (
    exception_of,
    notice,
    value_of,
    wait_ended,
    wait_length,
)
from dataflow.execution.reuse.answers import Answer, Question
from dataflow.execution.reuse.found_results import records_of_answer
from dataflow.execution.scope import RunScope, active_scope
from dataflow.graph.dry_run import Placeholder
from dataflow.graph.nodes import BAD_CODES, GOOD_CODES, CallNode, MapNode
from dataflow.graph.references import find_refs
from dataflow.graph.tags import limits_of
from dataflow.graph.trace import trace_call
from dataflow.model.annotations import Annotation, allow_failure, quote
from dataflow.model.arguments import ATOMS, rebuild
from dataflow.model.batches import Batch, BatchReport, CallBody, LogLine, Note
from dataflow.model.inputs import Ref, Reference
from dataflow.model.states import State, StateCode, cached_message
from dataflow.worker.call_context import current_transaction
from dataflow.worker.carry_out import BatchCarrier
from dataflow.worker.columns import as_objects
from dataflow.worker.failures import describe, text_of

_NO_KWARGS: dict[str, Any] = {}


def call_task(
    task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
) -> Any:
    """Call a synchronous task: its value, or its state if that is wanted.

    Raises:
        ParameterBindError: the arguments do not fit.
        UpstreamTaskError: a future among the arguments failed.
        Exception: the task's own.
    """
    scope = active_scope()
    if scope.graph.is_dry:
        return trace_only(scope, "call", task, args, kwargs, wait_for)
    call = Call(scope, task, args, kwargs, wait_for)
    if task.kind == "generator" and call.error is None and not return_state:
        return call.iterate()
    if call.error is None:
        call.carry_out()
    return call.outcome(return_state)


def trace_only(
    scope: RunScope, kind: str, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], order: Any
) -> Placeholder:
    """A bare call in a flow that is only traced: a node, and what stands for its value."""
    upstream = tuple(find_refs((args, kwargs)))
    return Placeholder(trace_call(scope.graph, kind, task, upstream, tuple(find_refs(order))))


class Call:
    """One bare call."""

    def __init__(
        self,
        scope: RunScope,
        task: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
    ) -> None:
        task.check_arguments(args, kwargs)
        self.scope = scope
        self.task = task
        self.error: UpstreamTaskError | None = None
        self.report: BatchReport | None = None
        self.logged = 0
        self.told = 0  # attempts that hooks were told of
        self.is_over = False
        self.is_keyed = False  # the next call with its cache key is to find what it came to
        resolver = Resolver(scope)
        order = tuple(find_refs(wait_for)) if wait_for is not None else ()
        if not (_are_atoms(args) and _are_atoms(kwargs.values())):
            args = tuple(map(resolver.resolve, args))
            kwargs = {name: resolver.resolve(value) for name, value in kwargs.items()}
        self.node = trace_call(scope.graph, "call", task, resolver.refs, order)
        if scope.graph.left_hooks:
            call_left_hooks([self.node])
        for ref in order:
            resolver.value(ref)
        body = CallBody([0], [self.node.id], [self.node.number], [(args, kwargs)], [None])
        scope.graph.expect_results(task)
        limits = limits_of(self.node)
        self.batch = Batch(
            id=next(batch_ids),
            run=scope.info,
            tasks=limited([task], limits, scope.info.store) if limits else [task],
            body=body,
            keeps={} if task.kind == "generator" else keeps_of(scope.graph, [task]),
        )
        if resolver.failed is not None:
            self._not_ready(resolver.failed)

    def _not_ready(self, cause: BaseException) -> None:
        node = self.node
        self.error = UpstreamTaskError(
            f"Task run {node.key!r} did not run, because what it needs failed: "
            f"{type(cause).__name__}: {text_of(cause)}"
        )
        self.error.__cause__ = cause
        records = unbegun_records(node, range(1), StateCode.NOT_READY, describe(cause))
        self.scope.loop.writer.write(
            [node_record(node), *records], [CallEnded(node, int(StateCode.NOT_READY))]
        )

    def carry_out(self) -> None:
        """Make the call, again after each delay while it is to be retried."""
        try:
            if self.looks_up and self.look_up():
                return
            while True:
                self.begin()
                report = BatchCarrier(self.batch, as_objects, self.log).carry_out()
                delay = self.take(report)
                if delay is None:
                    break
                time.sleep(delay)
            if self.is_keyed:
                self.scope.loop.writer.write_now([])
        except BaseException as error:
            self.interrupted(error)
            raise

    @property
    def looks_up(self) -> bool:
        """Whether an earlier result may be taken instead."""
        return self.scope.graph.looks_up(self.task)

    def look_up(self) -> bool:
        """Take an earlier result, if there is one; whether the call is done with."""
        question = Question(self.scope.graph, self.batch, nodes=[self.node])  # type: ignore[list-item]
        answer = self.scope.loop.lookups.answer(question)
        while answer.held:
            time.sleep(HELD_SECONDS)
            answer = self.scope.loop.lookups.answer(question)
        place, failure = answer.places[0], answer.failures.get(0)
        if place is None and failure is None:
            return False
        now = now_ns()
        code = StateCode(answer.codes[0])
        report = BatchReport(
            batch_id=self.batch.id,
            first=0,
            states=bytes((code if failure is None else StateCode.FAILED,)),
            clock_offset_ns=0,
            first_started_ns=now,
            started=None,
            ended=now.to_bytes(8, sys.byteorder),
            values=answer.column,
            worker="",
        )
        if failure is not None:
            report.failures[0] = failure
        elif place is not None and code is StateCode.CACHED:
            report.notes[0] = Note(code.state_name, cached_message(place[0].run_id))
        self.take(report, answer)
        return True

    def iterate(self) -> Iterator[Any]:
        """A generator as it is called in place: its items one by one, its run open meanwhile."""
        ((args, kwargs),) = self.batch.body.arguments  # type: ignore[union-attr]
        self.begin()
        carrier = BatchCarrier(self.batch, as_objects, self.log)
        carrier.capture()
        items = iter(self.task.fn(*args, **kwargs))
        value, error = None, None
        while error is None:
            with carrier.context.entered():
                try:
                    item = next(items)
                except StopIteration as stop:
                    value = stop.value
                    break
                except Exception as failure:
                    error = failure
                    break
                except BaseException as failure:
                    self.interrupted(failure)
                    raise
            try:
                yield item
            except GeneratorExit:  # nobody wants the rest
                break
        self.take(carrier.whole_report(value, error))
        self.outcome(return_state=False)

    def begin(self) -> None:
        """An attempt begins."""
        self._tell_begun(self._attempt())

    def _attempt(self) -> int:
        """The attempt that is under way, or was reported last."""
        tried = self.report.attempts if self.report is not None else {}
        return max(tried.get(0, 1), self.batch.attempts.get(0, 1))

    def _tell_begun(self, attempt: int) -> None:
        """Call hooks for the attempts up to this one that they have not been called for."""
        if not self.task.has_hooks:
            return
        for number in range(self.told + 1, attempt + 1):
            code = StateCode.RUNNING if number == 1 else StateCode.RETRYING
            run_task_hooks(self.task, self.node, None, code, run_count=number)
        self.told = max(self.told, attempt)

    def interrupted(self, error: BaseException) -> None:
        """Record that something ended the call that is not for the call to handle."""
        if self.is_over:
            return
        code = code_of_interruption(error)
        told = CancelledRun if code is StateCode.CANCELLED else CrashedRun
        failure = describe(told(message_of_interruption("Task run", error)))
        records = unbegun_records(self.node, range(1), code, failure)
        if self.report is None:
            records.insert(0, node_record(self.node))
        self._end(records, code, State.of_code(code, message=failure.message, data=error))

    def _end(
        self, records: list[Any], code: int, state: State[Any] | None, is_own: bool = False
    ) -> None:
        """Record how it ended, and call the hooks, unless its run had recorded that before."""
        self.is_over = True
        if is_own:
            self.scope.graph.note_reused(self.node.id, range(1))
        writer, ended = self.scope.loop.writer, CallEnded(self.node, code)
        hooks = [] if is_own else hooks_for(self.task, code)
        if not hooks:
            writer.write(records, [ended])
            return
        run_id, node = self.scope.info.run_id, self.node.id
        due = due_record(run_id, node, None, code, self._attempt())
        try:
            writer.write_now(records if writer.store is None else [*records, due], [ended])
        except StoreError:  # whoever has something to write is told
            return
        state = state or self.state()
        given = task_hook_arguments(self.node, None, code, state, due.attempt)
        call_in_turn(due, hooks, writer.store, lambda _: given, self.scope.graph.say)

    def log(self, line: LogLine) -> None:
        """Record a line that the call logged."""
        records = log_records(self.scope.info.run_id, self.batch.body, [line], self.logged)
        self.logged += 1
        self.scope.loop.writer.write(records, [])

    def take(self, report: BatchReport, answer: Answer | None = None) -> float | None:
        """Record what came of it; the seconds until the next attempt, if there is one.

        ``answer`` is what was there of a call that was not made.
        """
        run_id = self.scope.info.run_id
        records: list[Any] = [] if self.report is not None else [node_record(self.node)]
        found = answer if answer is not None and not answer.failures else None
        if found is not None:
            records += records_of_answer(found, report.first_started_ns)
        else:
            records += batch_records(run_id, self.batch.body, report)
            if report.failures or report.notes or report.earlier:
                records += attempt_records(run_id, self.batch, report)
        records += self.scope.graph.take_records(report.records)
        if report.results:
            results = self.scope.graph.results
            kept = result_records(results, self.batch, report.results, now_ns())
            self.is_keyed = any(each.cache_keys for each in kept)
            records += kept
        self.report = report
        self.scope.graph.times.reported(report)
        if found is None:
            self.scope.graph.times.called(self.task.name, 1, report.busy_ns)
        code = report.states[0]
        attempt = report.attempts.get(0, self.batch.attempts.get(0, 1))
        if answer is None:
            self._tell_begun(attempt)
        if report.delays:
            self.scope.loop.writer.write(records, [CallEnded(self.node, code)])
            self.batch.attempts[0] = attempt + 1
            return report.delays[0]
        transaction = current_transaction.get()
        if transaction is not None and code in GOOD_CODES and code != StateCode.CACHED:
            transaction.add(self.node, attempt)
        self._end(records, code, None, is_own=found is not None and bool(found.is_own[0]))
        return None

    def state(self) -> State[Any]:
        """How it ended."""
        if self.report is None:
            assert self.error is not None
            return State.of_code(StateCode.NOT_READY, message=str(self.error), data=self.error)
        report = self.report
        code = StateCode(report.states[0])
        note = report.notes.get(0)
        failure = report.failures.get(0)
        data: Any = None
        if code in GOOD_CODES and report.values is not None:
            data = report.values.load(0)
        elif failure is not None:
            data = failure.original
        return State.of_code(
            code,
            name=note.name if note else None,
            message=note.message if note else message_of(code, failure),
            data=data,
        )

    def outcome(self, return_state: bool) -> Any:
        """The value, the state, or the exception."""
        if return_state:
            self.scope.loop.writer.write_now([])
            return self.state()
        if self.error is not None:
            raise self.error
        assert self.report is not None
        if self.report.states[0] in BAD_CODES:
            raise self._exception()
        assert self.report.values is not None
        value = self.report.values.load(0)
        remember(self.scope, value, self.node)
        return value

    def _exception(self) -> BaseException:
        assert self.report is not None
        failure = self.report.failures[0]
        error = failure.original
        return error if error is not None else self.state().as_error()


def _are_atoms(values: Any) -> bool:
    return all(type(value) in ATOMS for value in values)


class Resolver:
    """Puts the values of futures into arguments, waiting for them."""

    def __init__(self, scope: RunScope) -> None:
        self.scope = scope
        self.refs: list[Ref] = []
        self.failed: BaseException | None = None
        self._allow = False

    def resolve(self, value: Any) -> Any:
        """An argument with values for futures, and without marks."""
        self._remember_origin(value)
        return rebuild(value, (Reference, Annotation, State), self._replace)

    def _remember_origin(self, value: Any) -> None:
        origin = origin_of(self.scope, value)
        if origin is not None:
            self.refs.append(Ref(origin))

    def _replace(self, value: Any) -> Any:
        if isinstance(value, Reference):
            return self._values(value.refs())
        if isinstance(value, State):
            return self._state(value)
        if isinstance(value, quote):
            return value.value
        before = self._allow
        self._allow = before or isinstance(value, allow_failure)
        try:
            return self.resolve(value.value)
        finally:
            self._allow = before

    def _state(self, state: State[Any]) -> Any:
        if state.is_completed():
            return state.data
        error = state.result(raise_on_failure=False)
        if not self._allow:
            self.failed = self.failed or error
        return error

    def _values(self, target: Any) -> Any:
        if isinstance(target, list):
            return [self._values(item) for item in target]
        if not isinstance(target, Ref):
            return target
        node = target.node
        if isinstance(node, MapNode) and target.element is None:
            length = wait_length(node)
            self.refs.append(target)
            return [self.value(Ref(node, element)) for element in range(length)]
        self.refs.append(target)
        return self.value(target)

    def value(self, ref: Ref) -> Any:
        """The value behind one reference; the exception if that is allowed."""
        node, element = ref.node, ref.element
        if isinstance(node, CallNode):
            return None
        wait_ended(node, element, None)
        if element is None and isinstance(node, MapNode):
            codes = set(node.codes)
        else:
            codes = {node.state_code(element)}
        if not codes & BAD_CODES and node.failure is None:
            return (
                None if isinstance(node, MapNode) and element is None else value_of(node, element)
            )
        notice(node, element)
        error = exception_of(node, element)
        if not (self._allow or ref.allow_failure):
            self.failed = self.failed or error
        return error


# --- which bare call made a value ----------------------------------------------------------------

_MOST_REMEMBERED = 256


def remember(scope: RunScope, value: Any, node: CallNode) -> None:
    """Keep in mind that a bare call returned this object, so that its use becomes an edge."""
    if type(value) in ATOMS:
        return
    results = scope.results
    try:
        results[id(value)] = (weakref.ref(value, lambda _: results.pop(id(value), None)), node)
    except TypeError:
        recent = scope.recent
        recent[id(value)] = (value, node)
        if len(recent) > _MOST_REMEMBERED:
            recent.popitem(last=False)


def origin_of(scope: RunScope, value: Any) -> CallNode | None:
    """The bare call that returned this very object, if that is known."""
    found = scope.results.get(id(value))
    if found is not None and found[0]() is value:
        node: CallNode = found[1]
        return node
    recent = scope.recent.get(id(value))
    return recent[1] if recent is not None and recent[0] is value else None
