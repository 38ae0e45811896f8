"""A run that waits for somebody without a process: Suspended until it is resumed.

Its body ends where it asks, when all that was submitted before has ended, and begins anew when
somebody resumes it, in another process. What had finished is not done again, and the call that had
suspended it returns what was put in. That is kept beside the results of the run.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from dataflow.errors import FlowPauseTimeout, MissingContextError, ResultMissing, ResumeError
from dataflow.execution.control.run_input import (
    DOES_NOT_FIT,
    WantedInput,
    check_patience,
    run_of_body,
)
from dataflow.execution.interruptions import RunSuspended
from dataflow.execution.results import wait_for_all
from dataflow.execution.reuse.run_results import RunResults
from dataflow.execution.scope import RunScope
from dataflow.storage.result_storage import open_storage
from dataflow.worker.call_context import current_transaction


@dataclass
class Suspensions:
    """The calls that suspend a run, in the order in which its body makes them.

    Attributes:
        waits_at: the call at which it waits, if it is suspended.
        asks: whether that asks for something to be put in.
        answers: by call, what was put in (JSON) and how many seconds that took.
        made: how many calls the body has made; this is not kept.
    """

    waits_at: int | None = None
    asks: bool = False
    answers: dict[int, tuple[str | None, float]] = field(default_factory=dict)
    made: int = 0

    def answer(self, text: str | None, seconds: float) -> None:
        """Somebody resumes the run."""
        if self.waits_at is not None:
            self.answers[self.waits_at] = text, seconds
            self.waits_at = None


def read_suspensions(results: RunResults, run_id: str) -> Suspensions:
    """What there is of a run; nothing if it was never suspended."""
    if not results.persists_by_itself:
        return Suspensions()
    try:
        data = json.loads(bytes(_storage(results).read(_name(run_id))))
    except ResultMissing:
        return Suspensions()
    answers = {int(number): (text, seconds) for number, (text, seconds) in data["answers"].items()}
    return Suspensions(data["waits_at"], data["asks"], answers)


def write_suspensions(results: RunResults, run_id: str, suspensions: Suspensions) -> None:
    """Keep them."""
    kept = {
        "waits_at": suspensions.waits_at,
        "asks": suspensions.asks,
        "answers": suspensions.answers,
    }
    _storage(results).write(_name(run_id), [json.dumps(kept).encode()])


def _storage(results: RunResults) -> Any:
    return open_storage(results.keep_of(results.options).storage)


def _name(run_id: str) -> str:
    return f"{run_id}/suspensions"


class Suspension:
    """One call that suspends the run whose body this is made in.

    Args:
        model: what has to be put in when it is resumed (see :class:`WantedInput`).
        timeout_seconds: how long that may take.

    Raises:
        MissingContextError: this is no body of a flow that has a process of its own.
        ResumeError: the run could not go on later.
    """

    def __init__(self, model: Any, timeout_seconds: float) -> None:
        self.scope = run_of_body("suspend_flow_run")
        check_patience(timeout_seconds)
        self.wanted = WantedInput(model)
        self.timeout_seconds = timeout_seconds
        _check_can_be_resumed(self.scope)
        self.all = self.scope.suspensions = self.scope.suspensions or Suspensions()
        self.number, self.all.made = self.all.made, self.all.made + 1

    def made(self) -> Any:
        """What was put in; if that is not known, the body ends here.

        Raises:
            FlowPauseTimeout: it was resumed too late.
            RunSuspended: it waits from now on.
        """
        why = "Somebody has to resume it."
        if self.number in self.all.answers:
            text, seconds = self.all.answers[self.number]
            if seconds > self.timeout_seconds:
                self._forget_answer()
                raise self._too_late()
            try:
                return self.wanted.read(text)
            except ValueError as error:
                self.scope.say(logging.WARNING, f"It was not resumed: {error}")
                why = f"{DOES_NOT_FIT}: {error}."
        wait_for_all(self.scope.graph)
        self.all.waits_at, self.all.asks = self.number, not self.wanted.is_nothing
        self._forget_answer()
        raise RunSuspended(why + self.wanted.said())

    async def made_async(self) -> Any:
        """The same on an event loop."""
        import asyncio

        found, error = await asyncio.to_thread(self._made_or_error)
        if error is not None:
            raise error
        return found

    def _made_or_error(self) -> tuple[Any, BaseException | None]:
        try:
            return self.made(), None
        except BaseException as error:  # asyncio would have an event loop end by some of them
            return None, error

    def _forget_answer(self) -> None:
        self.all.answers = {
            number: answer for number, answer in self.all.answers.items() if number < self.number
        }
        write_suspensions(self.scope.graph.results, self.scope.info.run_id, self.all)

    def _too_late(self) -> FlowPauseTimeout:
        name = self.scope.info.name
        return FlowPauseTimeout(
            f"Flow run {name!r} was suspended, and nobody resumed it within "
            f"{self.timeout_seconds:g} second(s).",
            hint=f"Let it ask once more: dataflow runs resume {name}",
        )


def _check_can_be_resumed(scope: RunScope) -> None:
    name = scope.info.name
    if scope.parent is not None or scope.loop.watch is None:
        raise MissingContextError(
            f"suspend_flow_run() was called in the subflow run {name!r}, which has no process of "
            "its own that could end.",
            hint="Call it in the flow that calls the others, or use pause_flow_run().",
        )
    if current_transaction.get() is not None:
        raise ResumeError(
            f"Flow run {name!r} cannot be suspended inside a transaction, which would be rolled "
            "back.",
            hint="Suspend it before the transaction, or behind it.",
            run_id=scope.info.run_id,
        )
    results = scope.graph.results
    if not (results.persists_by_itself and _storage(results).is_shared):
        raise ResumeError(
            f"Flow run {name!r} cannot be suspended: its results are not kept, and would have to "
            "be computed again.",
            hint="Use @flow(persist_result=True) with a storage that outlives the process, or "
            "pause_flow_run(), which keeps the process.",
            run_id=scope.info.run_id,
        )
