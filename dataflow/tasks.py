"""Tasks: functions that are run with states, retries, a time limit and records.

A task is called in three ways. ``task(x)`` runs it here and now and returns its value.
``task.submit(x)`` returns a future at once. ``task.map(xs)`` returns a list of futures at once, one
for each element, which cost microseconds each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from dataflow.errors import DefinitionError, ParameterBindError, ReservedArgumentError
from dataflow.model.declared import Declared, Hook, refuse_unknown_options
from dataflow.model.functions import described, name_of_function
from dataflow.model.retry_policy import (
    Condition,
    Delays,
    RetryPolicy,
    exponential_backoff,
    make_retry_policy,
)

if TYPE_CHECKING:
    from dataflow.futures import FutureList, TaskFuture
    from dataflow.model.run_names import RunName

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_RESERVED = ("return_state", "wait_for")
_LATER = (
    "cache_policy",
    "cache_key_fn",
    "cache_expiration",
    "cache_result_in_memory",
    "refresh_cache",
    "persist_result",
    "result_storage",
    "result_storage_key",
    "result_serializer",
)


class Task(Declared, Generic[P, R]):
    """A function with the options of a task; made by :func:`task`, never changed afterwards.

    Attributes:
        fn: the function itself, to be called without any of this.
        name, description, version, tags: what it is called, and what it is for.
        retry_policy: how often, when and whether it is tried again.
        timeout_seconds: how long one attempt may take.
        log_prints: whether its prints become log lines (None: as its flow says).
        resources: what a worker must have free for it, such as ``{"GPU": 1}``.
        batch_size: how many elements may share a batch at most (None: as many as is good).
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        retries: int | None = None,
        retry_delay_seconds: Delays = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Condition | None = None,
        timeout_seconds: float | None = None,
        task_run_name: str | Callable[..., str] | None = None,
        log_prints: bool | None = None,
        on_running: Iterable[Hook] | None = None,
        on_completion: Iterable[Hook] | None = None,
        on_failure: Iterable[Hook] | None = None,
        resources: dict[str, float] | None = None,
        batch_size: int | None = None,
        **later: Any,
    ) -> None:
        refuse_unknown_options("task", later, _LATER)
        hooks = {"on_running": on_running, "on_completion": on_completion, "on_failure": on_failure}
        self.declare(fn, "task", hooks)
        self.name = name or name_of_function(fn)
        self.description = described(fn, description)
        self.tags = tuple(sorted(_checked_tags(tags)))
        self.version = version
        self.retry_policy: RetryPolicy = make_retry_policy(
            retries, retry_delay_seconds, retry_jitter_factor, retry_condition_fn
        )
        self.timeout_seconds = _positive("timeout_seconds", timeout_seconds)
        self.log_prints = log_prints
        self.resources = dict(resources or {})
        self.batch_size = _positive("batch_size", batch_size)
        self.task_run_name = task_run_name
        self.later = {name: value for name, value in later.items() if value is not None}
        self._retry_options: dict[str, Any] = {
            "retries": retries,
            "retry_delay_seconds": retry_delay_seconds,
            "retry_jitter_factor": retry_jitter_factor,
            "retry_condition_fn": retry_condition_fn,
        }
        self._refuse_reserved()
        self.run_name = self._run_name()
        self.rebound()
        functools.update_wrapper(self, fn, updated=())

    def _refuse_reserved(self) -> None:
        for name in _RESERVED:
            if name in self.signature.parameters:
                raise ReservedArgumentError(
                    f"Task {self.name!r} has a parameter {name!r}, which submit and map need "
                    "for themselves.",
                    hint="Rename the parameter.",
                )

    def _run_name(self) -> RunName | None:
        if self.task_run_name is None:
            return None
        from dataflow.model.run_names import compile_run_name

        return compile_run_name(self.task_run_name, self.signature, f"task {self.name!r}")

    def rebound(self) -> None:
        """Prepare for binding arguments."""
        parameters = list(self.signature.parameters.values())
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self.parameter_names = [p.name for p in positional]
        self._most = len(positional)
        self._least = sum(p.default is p.empty for p in positional)
        self._is_simple = len(positional) == len(parameters)

    # --- how it is called ------------------------------------------------------------------------

    def check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse arguments that the function could not be called with.

        Raises:
            ParameterBindError: with the names in it.
        """
        if not kwargs and self._is_simple and self._least <= len(args) <= self._most:
            return
        try:
            self.signature.bind(*args, **kwargs)
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
        extra = [f"*args[{at}]" for at in range(len(args) - len(names))]
        return [*zip([*names, *extra], args, strict=False), *kwargs.items()]

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
        from dataflow.verbs import call

        return call(self, args, kwargs, wait_for, return_state)

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
        wait_for = kwargs.pop("wait_for", None)
        return_state = kwargs.pop("return_state", False)
        from dataflow.verbs import submit

        return submit(self, args, kwargs, wait_for, return_state)

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
        from dataflow.verbs import map_task

        return map_task(self, args, kwargs, wait_for, return_state)

    # --- how it is varied ------------------------------------------------------------------------

    def with_options(self, **options: Any) -> Task[P, R]:
        """A copy of this task with other options; this one stays as it is.

        Takes what :func:`task` takes. Options that are not named keep their values.
        """
        return Task(self.fn, **{**self.options(), **options})

    def options(self) -> dict[str, Any]:
        """The options that would make this task again."""
        return {
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
            "version": self.version,
            "timeout_seconds": self.timeout_seconds,
            "task_run_name": self.task_run_name,
            "log_prints": self.log_prints,
            "resources": self.resources,
            "batch_size": self.batch_size,
            **self._retry_options,
            **self.hooks,
            **self.later,
        }

    def __repr__(self) -> str:
        return f"<Task {self.name!r}{self.signature}>"


def _checked_tags(tags: Iterable[str] | None) -> set[str]:
    if isinstance(tags, str):
        raise DefinitionError(f"tags must be a list of strings, not the string {tags!r}.")
    return set(tags or ())


def _positive(name: str, value: Any) -> Any:
    if value is not None and not value > 0:
        raise DefinitionError(f"{name} must be more than 0, not {value!r}.")
    return value


@overload
def task(fn: Callable[P, R], /, **options: Any) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    retries: int | None = None,
    retry_delay_seconds: Delays = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: Condition | None = None,
    timeout_seconds: float | None = None,
    task_run_name: str | Callable[..., str] | None = None,
    log_prints: bool | None = None,
    on_running: Iterable[Hook] | None = None,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    resources: dict[str, float] | None = None,
    batch_size: int | None = None,
    **later: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
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
        on_running, on_completion, on_failure: hooks ``hook(task, task_run, state)``.
        resources: what a worker must have free for a run, such as ``{"GPU": 1}``.
        batch_size: the most elements that may share a batch.

    Raises:
        DefinitionError: ``fn`` is no function, or an option cannot be used.
        ReservedArgumentError: a parameter is called ``wait_for`` or ``return_state``.
        ValueError: a number of the retry options is out of range.
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)


__all__ = ["Task", "exponential_backoff", "task"]
