"""Tasks: functions that are run with states, retries, a time limit and records.

A task is called in three ways. ``task(x)`` runs it here and now and returns its value.
``task.submit(x)`` returns a future at once. ``task.map(xs)`` returns a list of futures at once, one
for each element, which cost microseconds each.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from dataflow.errors import ParameterBindError, ReservedArgumentError
from dataflow.model.declared import Declared, is_global, known_tasks
from dataflow.model.functions import bind, name_of_function
from dataflow.model.options import TaskOptions, TransactionHook
from dataflow.model.retry_policy import exponential_backoff

if TYPE_CHECKING:
    from dataflow.futures import FutureList, TaskFuture

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_RESERVED = ("return_state", "wait_for")


@functools.cache
def _verbs() -> ModuleType:
    """What runs tasks, loaded with the first call; an import statement costs 0.4 µs each time."""
    from dataflow import verbs

    return verbs


class Task(Declared, Generic[P, R]):
    """A function with the options of a task; made by :func:`task`, never changed afterwards.

    Attributes:
        fn: the function itself, to be called without any of this.
        resources: what a worker must have free for it, such as ``{"GPU": 1}``.
        batch_size: how many elements may share a batch at most (None: as many as is good).
    """

    decorator = "task"

    def __init__(self, fn: Callable[P, R], **options: Unpack[TaskOptions]) -> None:
        self.declare(fn, options, TaskOptions)
        self.name = options.get("name") or name_of_function(fn)
        self.resources = dict(options.get("resources") or {})
        self.batch_size = options.get("batch_size")
        self._refuse_reserved()
        self.run_name = self.compiled_run_name(options.get("task_run_name"))
        self.rebound()
        functools.update_wrapper(self, fn, updated=())
        if is_global(fn):
            known_tasks.setdefault(self.name, weakref.WeakSet()).add(self)

    def _refuse_reserved(self) -> None:
        for name in _RESERVED:
            if name in self.signature.parameters:
                raise ReservedArgumentError(
                    f"Task {self.name!r} has a parameter {name!r}, which submit and map need "
                    "for themselves.",
                    hint="Rename the parameter.",
                )

    def rebound(self) -> None:
        """Prepare for binding arguments."""
        parameters = list(self.signature.parameters.values())
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self.parameter_names = [p.name for p in positional]
        takes_more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self._most = math.inf if takes_more else len(positional)
        self._least = sum(p.default is p.empty for p in positional)
        by_name = (p for p in parameters if p.kind is p.KEYWORD_ONLY)
        self._needs_names = any(p.default is p.empty for p in by_name)

    # --- how it is called ------------------------------------------------------------------------

    def check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse arguments that the function could not be called with.

        Raises:
            ParameterBindError: with the names in it.
        """
        if not (kwargs or self._needs_names) and self._least <= len(args) <= self._most:
            return  # to bind them costs a third of a submit
        try:
            bind(self.signature, args, kwargs)
        except TypeError as error:
            raise ParameterBindError(
                f"Task {self.name!r} cannot be called like this: {error}.",
                hint=f"Its signature is {self.name}{self.signature}.",
            ) from None

    def argument_names(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        """The arguments of a call with their parameters' names."""
        names = self.parameter_names
        if len(args) > len(names):
            names = [*names, *(f"*args[{at}]" for at in range(len(args) - len(names)))]
        return [*zip(names, args, strict=False), *kwargs.items()]

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> Any: ...
    @overload
    def __call__(self, *args: Any, wait_for: Any, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now.

        Takes the function's arguments, and ``wait_for=`` and ``return_state=``.

        Returns:
            The value; with ``return_state=True`` the state; a coroutine of either if ``async``.
        """
        wait_for = kwargs.pop("wait_for", None)
        return_state = kwargs.pop("return_state", False)
        return _verbs().call(self, args, kwargs, wait_for, return_state)

    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> TaskFuture[T]: ...
    @overload
    def submit(self, *args: Any, **kwargs: Any) -> TaskFuture[R]: ...
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Have the runner run the task; returns a future at once.

        Takes the function's arguments, which may be or hold futures, and ``wait_for=`` and
        ``return_state=`` (which waits and returns the state).

        Raises:
            ParameterBindError: the arguments do not fit.
            TransferError: an argument cannot be sent to a worker.
        """
        if not kwargs:
            return _verbs().submit(self, args, kwargs, None, False)
        wait_for = kwargs.pop("wait_for", None)
        return_state = kwargs.pop("return_state", False)
        return _verbs().submit(self, args, kwargs, wait_for, return_state)

    @overload
    def map(self: Task[P, Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> FutureList[T]: ...
    @overload
    def map(self, *args: Any, **kwargs: Any) -> FutureList[R]: ...
    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Have the runner run the task for each element; returns a list of futures at once.

        Iterables are mapped over together, element by element; ``unmapped(x)``, text, dicts,
        DataFrames, models and defaults are given whole to each element. Takes ``wait_for=`` and
        ``return_state=`` (which waits and returns a list of states) as well.

        Raises:
            MappingMissingIterable: there is nothing to map over.
            MappingLengthMismatch: the iterables have different lengths.
            ParameterBindError: the arguments do not fit.
        """
        wait_for = kwargs.pop("wait_for", None)
        return_state = kwargs.pop("return_state", False)
        return _verbs().map_task(self, args, kwargs, wait_for, return_state)

    # --- how it is varied ------------------------------------------------------------------------

    def with_options(self, **options: Unpack[TaskOptions]) -> Task[P, R]:
        """A copy of this task with other options; this one stays as it is.

        Takes what :func:`task` takes. Options that are not named keep their values.
        """
        return Task(self.fn, **{**self.options(), **options})

    def on_commit(self, hook: TransactionHook) -> TransactionHook:
        """Decorate a hook that is called when the transaction of a run is committed."""
        self.hooks["on_commit"].append(hook)
        return hook

    def on_rollback(self, hook: TransactionHook) -> TransactionHook:
        """Decorate a hook that is called when a run is to be undone, as its transaction failed."""
        self.hooks["on_rollback"].append(hook)
        return hook

    def __repr__(self) -> str:
        return f"<Task {self.name!r}{self.signature}>"


@overload
def task(fn: Callable[P, R], /, **options: Unpack[TaskOptions]) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a task; with or without options.

    Args:
        fn: the function, where the decorator is used without options.
        name: what it is called (default: the function's name).
        description, tags, version: kept with its runs.
        retries: how many attempts may follow the first.
        retry_delay_seconds: seconds before a retry: a number, a list whose last value is repeated,
            or a callable of the number of retries, such as ``exponential_backoff(2)``.
        retry_jitter_factor: lengthens each delay by a random part of up to so many times itself.
        retry_condition_fn: asked with ``(task, task_run, state)`` whether to retry at all.
        timeout_seconds: how long one attempt may take; then it is TimedOut.
        task_run_name: a template such as ``"{day:%Y-%m}"``, or a callable.
        log_prints: whether prints become log lines (None: as the flow says).
        on_running, on_completion, on_failure, on_cancellation, on_crashed: hooks
            ``hook(task, task_run, state)``; ``on_cancellation`` of runs that have begun.
        on_commit, on_rollback: hooks ``hook(transaction)`` for runs inside a ``transaction()``.
        resources: what a worker must have free for a run, such as ``{"GPU": 1}``.
        batch_size: the most elements that may share a batch.
        persist_result: whether results are kept (None: as the flow says).
        result_storage, result_serializer: where (a folder or URL) and how (a name or a
            ``Serializer``) they are kept.
        result_storage_key: a template of the name of each result's own object.
        cache_result_in_memory: False: values that are kept are not held in memory.
        cache_policy: what cache keys are made of (``dataflow.cache_policies``).
        cache_key_fn: a function ``fn(context, parameters)`` that makes keys.
        cache_expiration: how long a result may be taken.
        refresh_cache: whether results are made again, and replace those that there are.

    Raises:
        DefinitionError: ``fn`` is no function, or an option cannot be used.
        ReservedArgumentError: a parameter is called ``wait_for`` or ``return_state``.
        ValueError: a number of the retry options is out of range.
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)


__all__ = ["Task", "exponential_backoff", "task"]
