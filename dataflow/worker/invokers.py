"""The function that makes one call of a task, with all that its options ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from dataflow.model.batches import TaskLike
from dataflow.model.functions import bind
from dataflow.worker.board import DEADLINE, NEVER
from dataflow.worker.call_context import CallContext
from dataflow.worker.expand import Function
from dataflow.worker.outcomes import Outcomes
from dataflow.worker.timeouts import call_with_timeout


def invoker(outcomes: Outcomes, task: TaskLike, number: int) -> Function:
    """The function that makes one call of a task, with all that its options ask for."""
    function = task.fn
    if task.kind == "generator":
        function = _listed(function)
    if task.timeout_seconds is not None and not task.kind.startswith("async"):
        function = _limited(outcomes, function, task.timeout_seconds)
    if task.run_name is not None:
        function = _named(outcomes.context, function, task)
    if outcomes.persister is not None:
        function = outcomes.persister.noting(function, number, task)
    holding = getattr(task, "holding", None)
    if holding is not None and not task.kind.startswith("async"):
        function = _held(function, holding)
    return function


def _limited(outcomes: Outcomes, function: Function, seconds: float) -> Function:
    board, context = outcomes.board, outcomes.context

    def call(*args: Any, **kwargs: Any) -> Any:
        board[DEADLINE] = time.monotonic_ns() + int(seconds * 1e9)
        try:
            return call_with_timeout(
                function, args, kwargs, seconds, f"Task run {context.task_run_name!r}"
            )
        finally:
            board[DEADLINE] = NEVER

    return call


def _named(context: CallContext, function: Function, task: TaskLike) -> Function:
    names = context.names

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = bind(task.signature, args, kwargs)
        bound.apply_defaults()
        names[context.position] = task.run_name.render(dict(bound.arguments))
        return function(*args, **kwargs)

    return call


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
