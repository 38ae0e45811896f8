"""The options of tasks and flows: what ``@task``, ``@flow`` and ``with_options`` take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from dataflow.errors import DefinitionError
from dataflow.model.retry_policy import Condition, Delays

Hook = Callable[[Any, Any, Any], Any]
TransactionHook = Callable[[Any], Any]


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
    if isinstance(options.get("tags"), str):
        tags = options["tags"]
        raise DefinitionError(f"tags must be a list of strings, not the string {tags!r}.")
    for name in ("timeout_seconds", "batch_size"):
        value = options.get(name)
        if value is not None and not value > 0:
            raise DefinitionError(f"{name} must be more than 0, not {value!r}.")


def hooks_in(options: Mapping[str, Any], known: type[Any]) -> dict[str, list[Any]]:
    """The hooks among options, by name; an empty list for each that is not there."""
    names = [name for name in known.__annotations__ if name.startswith("on_")]
    return {name: list(options.get(name) or ()) for name in names}
