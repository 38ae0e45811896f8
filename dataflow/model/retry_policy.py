"""When a failed call is tried again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
        ValueError: a number is negative, or there are more than 50 delays.
        TypeError: the condition cannot be called.
    """
    number = retries or 0
    if number < 0:
        raise ValueError(f"retries must be 0 or more, not {number}.")
    if condition is not None and not callable(condition):
        raise TypeError(f"retry_condition_fn must be callable, not {condition!r}.")
    found = _delays(number, delays)
    if len(found) > MAX_DELAYS:
        raise ValueError(
            f"retry_delay_seconds has {len(found)} delays; no more than {MAX_DELAYS} are allowed."
        )
    if any(delay < 0 for delay in found):
        raise ValueError(f"retry_delay_seconds must be 0 or more, not {min(found)}.")
    if jitter_factor is not None and jitter_factor < 0:
        raise ValueError(f"retry_jitter_factor must be 0 or more, not {jitter_factor}.")
    return RetryPolicy(number, found, jitter_factor or 0.0, condition)


def _delays(retries: int, delays: Delays) -> tuple[float, ...]:
    if delays is None:
        return ()
    if callable(delays):
        delays = delays(retries)
    if isinstance(delays, (int, float)):
        return (float(delays),)
    return tuple(float(delay) for delay in delays)


@dataclass(frozen=True, slots=True)
class exponential_backoff:
    """Delays that double: ``factor``, ``2 * factor``, ``4 * factor``, ... seconds."""

    backoff_factor: float

    def __call__(self, retries: int) -> list[float]:
        """The delays before each of so many retries."""
        return [self.backoff_factor * 2**retry for retry in range(min(retries, MAX_DELAYS))]
