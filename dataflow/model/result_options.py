"""What becomes of the results of a task or flow, as far as its own options say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dataflow.errors import DefinitionError

_IMPLY = ("result_storage", "result_storage_key", "result_serializer", "cache_policy")


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """The options of results; None where nothing was said.

    Attributes:
        persist: whether results are kept.
        storage, storage_key, serializer: where, under which name, and how.
        in_memory: whether they stay in memory as well.
        policy: what cache keys are made of (a ``CachePolicy``); None: there are none.
        expiration_seconds: how long a result may be taken.
        refresh: whether earlier results are not taken, but replaced.
    """

    persist: bool | None = None
    storage: Any = None
    storage_key: str | None = None
    serializer: Any = None
    in_memory: bool | None = None
    policy: Any = None
    expiration_seconds: float | None = None
    refresh: bool = False


NOTHING_SAID = ResultOptions()


def result_options(options: Mapping[str, Any], decorator: str) -> ResultOptions:
    """Those among the options of a task or a flow.

    Raises:
        DefinitionError: one of them cannot be used.
    """
    given = {name: value for name, value in options.items() if value is not None}
    policy = _policy(given, decorator)
    persist = given.get("persist_result")
    implied = policy is not None or any(name in given for name in _IMPLY if name != "cache_policy")
    if persist is None and implied:
        persist = True
    key = given.get("result_storage_key")
    if key is not None and not isinstance(key, str):
        raise DefinitionError(f"result_storage_key must be text, not {type(key).__name__}.")
    made = ResultOptions(
        persist=persist,
        storage=given.get("result_storage"),
        storage_key=key,
        serializer=given.get("result_serializer"),
        in_memory=given.get("cache_result_in_memory"),
        policy=policy if persist else None,
        expiration_seconds=_seconds(given.get("cache_expiration")),
        refresh=bool(given.get("refresh_cache", False)),
    )
    return NOTHING_SAID if made == NOTHING_SAID else made


def _policy(given: Mapping[str, Any], decorator: str) -> Any:
    """The cache policy: a key function counts before it, as one of its own."""
    key_fn, policy = given.get("cache_key_fn"), given.get("cache_policy")
    if key_fn is not None:
        from dataflow.cache_policies import CacheKeyFnPolicy

        if not callable(key_fn):
            raise DefinitionError(f"cache_key_fn of a {decorator} must be a function.")
        return CacheKeyFnPolicy(key_fn)
    if policy is None:
        return None
    if not hasattr(policy, "key_maker"):
        raise DefinitionError(
            f"cache_policy must be a policy of dataflow.cache_policies, not {policy!r:.60}.",
            hint="Such as INPUTS, or TASK_SOURCE + INPUTS; a function goes to cache_key_fn.",
        )
    return None if policy.is_empty else policy


def _seconds(expiration: Any) -> float | None:
    if expiration is None:
        return None
    seconds = expiration.total_seconds() if isinstance(expiration, timedelta) else expiration
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        raise DefinitionError(
            f"cache_expiration must be a timedelta of more than 0, not {expiration!r}."
        )
    return float(seconds)
