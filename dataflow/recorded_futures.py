"""Futures of task runs that the store knows, for another process, or another day.

RecordedFuture(future.task_run_id).result()
"""

from __future__ import annotations

import time
from typing import Any

from dataflow.errors import ResultTimeoutError, StoreError
from dataflow.model.states import State
from dataflow.records import get_run
from dataflow.store.summaries import ElementDetail

_LONGEST_PAUSE_SECONDS = 0.5


class RecordedFuture:
    """A task run as the store has it.

    Its result is read from where it was persisted (``persist_result=True``).

    Args:
        task_run_id: the id of the task run.
        store: path or URL of the store; None: that of the settings.
    """

    def __init__(self, task_run_id: str, store: str | None = None) -> None:
        parts = task_run_id.split(".")
        if len(parts) != 3 or not all(part.isdigit() for part in parts[1:]):
            raise StoreError(
                f"{task_run_id!r} is no id of a task run.",
                hint="It is what task_run_id of a future says: run id, node and index.",
            )
        self.task_run_id = task_run_id
        self.store = store
        self._run_id, self._node, self._index = parts[0], int(parts[1]), int(parts[2])

    def _element(self) -> ElementDetail:
        return get_run(self._run_id, store=self.store).element(self._node, self._index)

    @property
    def task_run_name(self) -> str:
        """The name of the task run."""
        return self._element().name

    @property
    def state(self) -> State[Any]:
        """The state as of now."""
        return self._element().state

    def done(self) -> bool:
        """Whether the task run has ended."""
        return self.state.code.is_ended

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or ``timeout`` seconds; never raises for a failure."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.01
        while not self.done():
            if deadline is not None and time.monotonic() >= deadline:
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Wait for the value.

        Raises:
            TimeoutError: it has not ended within the timeout.
            ResultMissing: it was not persisted, or is not there any more.
            Exception: the task's own.
        """
        self.wait(timeout)
        element = self._element()
        if not element.state.code.is_ended:
            raise ResultTimeoutError(
                f"Task run {element.name!r} did not end within {timeout:g} second(s).",
                hint="It goes on running; ask again, or wait without a timeout.",
            )
        if element.state.is_completed() or element.exception is None:
            return element.state.result(raise_on_failure)
        if raise_on_failure:
            raise element.exception
        return element.exception

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedFuture):
            return NotImplemented
        return self.task_run_id == other.task_run_id

    def __hash__(self) -> int:
        return hash(self.task_run_id)

    def __repr__(self) -> str:
        return f"<RecordedFuture {self.task_run_id}>"
