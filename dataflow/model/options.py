"""The options of tasks and flows: what ``@task``, ``@flow`` and ``with_options`` take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypedDict

from dataflow.errors import DefinitionError
from dataflow.model.retry_policy import Condition, Delays

Hook = Callable[[Any, Any, Any], Any]
TransactionHook = Callable[[Any], Any]
_MOST_SECONDS = 1e9  # about what clocks of operating systems can be set to


class TaskOptions(TypedDict, total=False):
    """Those of a task (see :func:`dataflow.task`)."""

    name: str | None
    description: str | None
    tags: Iterable[str] | None
    version: str | None
    retries: int | None
    retry_delay_seconds: Delays
    retry_jitter_factor: float | None
    retry_condition_fn: Condition | None
    timeout_seconds: float | None
    task_run_name: str | Callable[..., str] | None
    log_prints: bool | None
    on_running: Iterable[Hook] | None
    on_completion: Iterable[Hook] | None
    on_failure: Iterable[Hook] | None
    on_cancellation: Iterable[Hook] | None
    on_crashed: Iterable[Hook] | None
    on_commit: Iterable[TransactionHook] | None
    on_rollback: Iterable[TransactionHook] | None
    resources: dict[str, float] | None
    batch_size: int | None
    cache_policy: Any
    cache_key_fn: Any
    cache_expiration: Any
    cache_result_in_memory: bool | None
    refresh_cache: bool | None
    persist_result: bool | None
    result_storage: Any
    result_storage_key: str | None
    result_serializer: Any


class FlowOptions(TypedDict, total=False):
    """Those of a flow (see :func:`dataflow.flow`)."""

    name: str | None
    description: str | None
    version: str | None
    tags: Iterable[str] | None
    flow_run_name: str | Callable[..., str] | None
    retries: int | None
    retry_delay_seconds: Delays
    timeout_seconds: float | None
    task_runner: Any
    validate_parameters: bool
    log_prints: bool | None
    fail_on_unhandled: bool
    on_running: Iterable[Hook] | None
    on_completion: Iterable[Hook] | None
    on_failure: Iterable[Hook] | None
    on_cancellation: Iterable[Hook] | None
    on_crashed: Iterable[Hook] | None
    persist_result: bool | None
    result_storage: Any
    result_serializer: Any
    cache_result_in_memory: bool | None


def check_options(decorator: str, options: Mapping[str, Any], known: type[Any]) -> None:
    """Refuse options that do not exist or cannot be.

    Raises:
        DefinitionError: with the name of the option.
    """
    for name in options:
        if name not in known.__annotations__:
            raise DefinitionError(
                f"@{decorator} has no option {name!r}.",
                hint=f"See help(dataflow.{decorator}) for the options there are.",
            )
    called, tags = options.get("name"), options.get("tags")
    if not isinstance(called, str | None):
        raise DefinitionError(f"The name of a {decorator} must be text, not {called!r:.60}.")
    if isinstance(tags, str):
        raise DefinitionError(f"tags must be a list of strings, not the string {tags!r}.")
    size = options.get("batch_size")
    if size is not None and not (isinstance(size, Integral) and int(size) > 0):
        raise DefinitionError(f"batch_size must be a whole number, more than 0, not {size!r:.60}.")


def timeout_in(options: Mapping[str, Any]) -> float | None:
    """The time limit among options, in seconds.

    Raises:
        DefinitionError: it is none.
    """
    seconds: Any = options.get("timeout_seconds")
    if seconds is None:
        return None
    if not (isinstance(seconds, Real) and 0 < float(seconds) <= _MOST_SECONDS):
        raise DefinitionError(
            f"timeout_seconds must be a number, more than 0, not {seconds!r:.60}.",
            hint="Without timeout_seconds there is no limit.",
        )
    return float(seconds)


def tags_in(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags among options, each once.

    Raises:
        DefinitionError: they are no strings.
    """
    given = options.get("tags") or ()
    tags: list[Any] = list(given) if isinstance(given, Iterable) else [None]
    if not all(isinstance(tag, str) for tag in tags):
        raise DefinitionError(f"tags must be a list of strings, not {given!r:.60}.")
    return tuple(sorted(set(tags)))


def hooks_in(options: Mapping[str, Any], known: type[Any]) -> dict[str, list[Any]]:
    """The hooks among options, by name; an empty list for each that is not there.

    Raises:
        DefinitionError: they are no list of functions.
    """
    names = [name for name in known.__annotations__ if name.startswith("on_")]
    return {name: _hooks(name, options.get(name) or ()) for name in names}


def _hooks(name: str, given: Any) -> list[Any]:
    hooks = list(given) if isinstance(given, Iterable) else [None]
    if not all(map(callable, hooks)):
        raise DefinitionError(
            f"{name} must be a list of functions, not {given!r:.60}.", hint=f"{name}=[function]"
        )
    return hooks
