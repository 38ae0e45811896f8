"""A run goes on where it stopped: its body runs again, what it had finished is not done again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dataflow.clock import now_ns, utc_now
from dataflow.errors import ResultMissing, ResumeError
from dataflow.execution.control.suspending import Suspensions, read_suspensions, write_suspensions
from dataflow.execution.reuse.earlier_run import EarlierRun
from dataflow.execution.reuse.run_results import RunResults
from dataflow.hashing.calls import NO_DIGEST
from dataflow.model.records import FLOW_RESULT, RunStateRecord
from dataflow.model.states import State, StateCode
from dataflow.process_ids import ProcessId, this_process
from dataflow.storage.stored_result import stored_result
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.summaries import RunSummary


@dataclass(frozen=True)
class Resumption:
    """A run that goes on.

    Attributes:
        store: where it is.
        summary: the run as it stopped.
        earlier: what it left.
        put_in: what is put in, as JSON, if it was suspended and asks for that.
    """

    store: RunStore
    summary: RunSummary
    earlier: EarlierRun
    put_in: str | None = None

    def records(self) -> list[RunStateRecord]:
        """The states that it enters before it is running again."""
        summary, now = self.summary, now_ns()
        count = summary.run_count
        states = []
        if not summary.state.is_final() and not summary.state.is_paused():
            message = f"The process of the run ({summary.host}, {summary.pid}) has vanished."
            code = StateCode.CRASHED
            states.append(RunStateRecord(summary.run_id, code, "Crashed", message, now, count))
        resuming = StateCode.RESUMING
        states.append(RunStateRecord(summary.run_id, resuming, "Resuming", self.put_in, now, count))
        return states

    @contextlib.contextmanager
    def taken_up(self) -> Iterator[None]:
        """Have this process drive the run, if it comes to that in here.

        Raises:
            ResumeError: another one was faster.
        """
        control, summary = self.store.control, self.summary
        is_first = control.take_up(summary.run_id, this_process()) is None
        try:
            if not (is_first and self._is_as_it_was()):
                raise ResumeError(
                    f"Run {summary.name!r} was resumed by somebody else at this moment.",
                    hint=f"Look at it: dataflow runs show {summary.name}",
                    run_id=summary.run_id,
                )
            yield
        except BaseException:  # interrupted or not: others may resume it
            if is_first:
                control.give_up(summary.run_id, this_process())
            raise

    def _is_as_it_was(self) -> bool:
        before, now = self.summary, self.store.run(self.summary.run_id)
        return (now.state, now.state.timestamp) == (before.state, before.state.timestamp)

    def all_earlier(self) -> Iterator[EarlierRun]:
        """What it and all runs below it left."""
        left = [self.earlier]
        while left:
            earlier = left.pop()
            yield earlier
            left += [EarlierRun(self.store, run_id) for run_id in earlier.children.values()]

    def suspensions(self, results: RunResults) -> Suspensions:
        """The calls that suspend the run, with what is put in now; it is kept at once."""
        summary = self.summary
        found = read_suspensions(results, summary.run_id)
        if summary.state.code is StateCode.SUSPENDED:
            found.answer(self.put_in, (utc_now() - summary.state.timestamp).total_seconds())
            write_suspensions(results, summary.run_id, found)
        return found


def find_run_to_resume(
    flow: Any, wanted: str, reuse_changed: bool, put_in: str | None
) -> Resumption:
    """The run that is to go on.

    Raises:
        RunNotFound: no run goes by that id or name, or several do.
        ResumeError: it is another flow's, has completed, or still runs; or something is put in and
            it does not ask for that, or the other way round.
    """
    store = open_store()
    store.control.crash_vanished()
    summary = store.run(wanted)
    if summary.flow_name != flow.name:
        raise ResumeError(
            f"Run {summary.name!r} is one of the flow {summary.flow_name!r}, not of {flow.name!r}.",
            hint=f"If the flow was renamed, keep its name: @flow(name={summary.flow_name!r}).",
            run_id=summary.run_id,
        )
    _refuse_unless_stopped(summary, store.control.driver(summary.run_id))
    _check_input(flow, summary, put_in)
    return Resumption(store, summary, EarlierRun(store, summary.run_id, reuse_changed), put_in)


def _check_input(flow: Any, summary: RunSummary, put_in: str | None) -> None:
    is_suspended = summary.state.code is StateCode.SUSPENDED
    if put_in is not None and not is_suspended:
        raise ResumeError(
            f"Run {summary.name!r} asks for nothing to be put in: it is {summary.state.name}.",
            hint="Resume it without that; it goes on where it stopped.",
            run_id=summary.run_id,
        )
    results = RunResults().within(flow.results, True)
    if is_suspended and put_in is None and read_suspensions(results, summary.run_id).asks:
        raise ResumeError(
            f"Run {summary.name!r} was not resumed: nothing was put in. {summary.state.message}",
            hint=f"Put it in: dataflow runs resume {summary.name} --input JSON, or "
            "flow.resume(run, run_input=...).",
            run_id=summary.run_id,
        )


def _refuse_unless_stopped(summary: RunSummary, driver: ProcessId | None) -> None:
    if summary.state.is_completed():
        raise ResumeError(
            f"Run {summary.name!r} has completed: there is nothing to resume.",
            hint="Call the flow to run it again.",
            run_id=summary.run_id,
        )
    if driver is None:
        return
    if summary.state.is_final():
        raise ResumeError(
            f"The hooks of run {summary.name!r} for its state {summary.state.name} are still being "
            f"called, in process {driver.pid}.",
            hint="Wait for their end, or end that process.",
            run_id=summary.run_id,
        )
    hint = "Wait for its end, or end that process."
    if summary.state.is_paused():
        hint = f"It waits for somebody: dataflow runs resume {summary.name}, or resume_flow_run."
    raise ResumeError(
        f"Run {summary.name!r} is still {summary.state.name}, in process {driver.pid}.",
        hint=hint,
        run_id=summary.run_id,
    )


def earlier_subflow(
    store: RunStore,
    run_id: str,
    digest: bytes,
    source: bytes,
    reuse_changed: bool,
    in_transaction: bool,
) -> tuple[Resumption, State[Any] | None]:
    """What there is of a subflow that ran before.

    What it did for a transaction that has not ended counts in that again: its body has to run for
    it, though none of it is done again.

    Returns:
        How it goes on; and its state, if it has completed and its result was kept.
    """
    summary = store.run(run_id)
    going_on = Resumption(store, summary, EarlierRun(store, run_id, reuse_changed))
    if not summary.state.is_completed():
        return going_on, None
    for each in going_on.all_earlier():
        if each.is_undone or (in_transaction and each.is_uncommitted()):
            return going_on, None
    for row in store.results(run_id):
        is_same = row.source == source or reuse_changed
        if row.node == FLOW_RESULT and row.digest(0) == digest != NO_DIGEST and is_same:
            kept = stored_result((row.object_of(run_id), row.numbers[0]))
            try:
                return going_on, State.of_code(StateCode.COMPLETED, data=kept.load())
            except ResultMissing:
                break
    return going_on, None
