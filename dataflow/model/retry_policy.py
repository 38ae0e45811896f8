"""When a failed call is tried again, and after how long."""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

MAX_DELAYS = 50
Delays = float | Sequence[float] | Callable[[int], Sequence[float]] | None
Condition = Callable[[Any, Any, Any], bool]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, when and whether a task (or flow) is tried again.

    Attributes:
        retries: how many attempts may follow the first one.
        delays: seconds before each retry; the last one is repeated. Empty: at once.
        jitter_factor: each delay is lengthened by a random part of up to this times itself.
        condition: asked with ``(task, task_run, state)`` whether to try again at all.
    """

    retries: int = 0
    delays: tuple[float, ...] = ()
    jitter_factor: float = 0.0
    condition: Condition | None = None

    @property
    def has_delays(self) -> bool:
        """Whether any retry has to wait."""
        return self.retries > 0 and any(delay > 0 for delay in self.delays)

    def delay_before(self, retry: int, random_value: float | None = None) -> float:
        """Seconds to wait before a retry.

        Args:
            retry: 1 for the first one.
            random_value: from 0 to 1, in place of a random number.
        """
        if not self.delays:
            return 0.0
        delay = self.delays[min(retry, len(self.delays)) - 1]
        if not self.jitter_factor:
            return delay
        share = random.random() if random_value is None else random_value
        return delay * (1 + self.jitter_factor * share)


def make_retry_policy(
    retries: int | None,
    delays: Delays = None,
    jitter_factor: float | None = None,
    condition: Condition | None = None,
) -> RetryPolicy:
    """A policy from the options that a decorator takes.

    Raises:
        ValueError: a number is negative or not finite, or there are more than 50 delays.
        TypeError: something is no number, or the condition cannot be called.
    """
    number = _whole(retries or 0)
    if condition is not None and not callable(condition):
        raise TypeError(f"retry_condition_fn must be callable, not {condition!r}.")
    found = _delays(number, delays)
    if len(found) > MAX_DELAYS:
        raise ValueError(
            f"retry_delay_seconds has too many delays; no more than {MAX_DELAYS} are allowed."
        )
    jitter = _not_negative("retry_jitter_factor", jitter_factor or 0.0)
    return RetryPolicy(number, found, jitter, condition)


def _whole(retries: Any) -> int:
    try:
        number = operator.index(retries)
    except TypeError:
        raise TypeError(f"retries must be a whole number, not {retries!r}.") from None
    if number < 0:
        raise ValueError(f"retries must be 0 or more, not {number}.")
    return number


def _not_negative(option: str, value: Any) -> float:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{option} must be a number, not {value!r}.")
    try:
        number = float(value)
    except (OverflowError, ValueError):  # whole numbers and decimals that are no float
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{option} must be 0 or more, and finite, not {value!r:.40}.")
    return number


def _delays(retries: int, delays: Delays) -> tuple[float, ...]:
    if delays is None:
        return ()
    if callable(delays):
        delays = delays(retries)
    if isinstance(delays, (str, bytes)) or not isinstance(delays, Iterable):
        return (_not_negative("retry_delay_seconds", delays),)
    few = islice(delays, MAX_DELAYS + 1)  # an endless iterator ends here
    return tuple(_not_negative("retry_delay_seconds", delay) for delay in few)


@dataclass(frozen=True, slots=True)
class exponential_backoff:
    """Delays that double: ``factor``, ``2 * factor``, ``4 * factor``, ... seconds."""

    backoff_factor: float

    def __call__(self, retries: int) -> list[float]:
        """The delays before each of so many retries."""
        return [self.backoff_factor * 2**retry for retry in range(min(retries, MAX_DELAYS))]
