"""Hooks that are due: recorded with the state that they are about, claimed right before the call.

So each is called once, whoever calls it: if the process is killed, those that it had not begun are
called by another one (``left_hooks``), and the one that it had begun by nobody. Inside workers,
where states are recorded with the batch, hooks are only called.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

from dataflow.errors import StoreError
from dataflow.execution.hooks.calling import Say, call_hooks
from dataflow.model.records import AS_A_WHOLE, DueHooksRecord
from dataflow.store.run_store import RunStore
from dataflow.worker.interruptible import uninterrupted

_numbers = count(time.time_ns())  # those of a later process are higher
_failed_stores: weakref.WeakSet[Any] = weakref.WeakSet()
_logger = logging.getLogger("dataflow.control")


def _nothing() -> None:
    pass


def due_record(
    run_id: str, node: int, element: int | None, code: int, attempt: int
) -> DueHooksRecord:
    """What is recorded with a state: that hooks are to be called for it."""
    start = AS_A_WHOLE if element is None else element
    return DueHooksRecord(run_id, next(_numbers), node, start, start + 1, int(code), attempt)


def call_in_turn(
    record: DueHooksRecord,
    hooks: list[Callable[..., Any]],
    store: RunStore | None,
    arguments: Callable[[int | None], tuple[Any, ...]],
    say: Say,
    when_claimed: Callable[[], None] = _nothing,
) -> None:
    """Call hooks that are due one after the other, but for those that somebody else calls.

    Args:
        record: for which runs.
        hooks: those of the task or flow for that state.
        store: where each is claimed right before it is called; None: they are not recorded.
        arguments: what the hooks for an element get.
        say: logs what they raise.
        when_claimed: called once, if it is here that any are called.

    Raises:
        BaseException: a signal that arrived in one of them, when the others have been called.
    """
    rest: DueHooksRecord | None = record
    given: tuple[Any, ...] = ()
    told_of: int | None = None
    signal: BaseException | None = None
    while rest is not None:
        due, rest = rest, rest.after_next(len(hooks))
        if due.called < len(hooks) and told_of != due.start:
            given, told_of = arguments(due.element), due.start
        hook = None
        try:
            with uninterrupted():
                if store is not None and not store.control.claim_hook(due, rest):
                    continue
                if due.called >= len(hooks):  # there were more of them when it was recorded
                    continue
                hook = _Claimed(hooks[due.called])
                when_claimed()
                when_claimed = _nothing
        except StoreError as error:
            _tell_of_failed(store, error)
            break
        except BaseException as error:
            signal = error
        while not (hook is None or hook.has_begun):  # it is called, whatever arrives before that
            try:
                call_hooks([hook], given, say)
            except BaseException as error:
                signal = error
    if signal is not None:
        raise signal


class _Claimed:
    """A hook that nobody else will call any more."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.__name__ = getattr(hook, "__name__", repr(hook))
        self.has_begun = False
        self._hook = hook

    def __call__(self, *args: Any) -> Any:
        self.has_begun = True
        return self._hook(*args)


def _tell_of_failed(store: RunStore | None, error: StoreError) -> None:
    """Say once that hooks are not called: as they were not claimed, somebody else will."""
    if store not in _failed_stores:
        _failed_stores.add(store)
        _logger.warning("Hooks are left to be called later: %s", error)
