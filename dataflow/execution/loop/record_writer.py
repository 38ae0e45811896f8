"""Writes records and then announces: nobody hears of a state that is not in the store.

One thread writes for the whole process. Everything that has gathered while a transaction was on its
way goes into the next one, so that the cost of a commit is shared by whatever is busy.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow import events
from dataflow.clock import now_ns, ticks_ns
from dataflow.errors import InvalidTransition
from dataflow.execution.announcements import Announcement, announce
from dataflow.execution.gate import Gate
from dataflow.execution.hooks.of_tasks import DueHooks, call_due_hooks, due_hooks
from dataflow.execution.loop.run_watch import RunWatch
from dataflow.model.records import (
    THE_RUN,
    DueHooksRecord,
    LogRecord,
    NodeRecord,
    Record,
    RunStateRecord,
)
from dataflow.model.states import State
from dataflow.store.run_store import RunStore

_MOST_AT_ONCE = 2000


@dataclass(slots=True)
class _Write:
    records: Sequence[Record]
    announcements: list[Announcement]
    done: Gate | None = None
    error: BaseException | None = None
    is_last: bool = False


class RecordWriter:
    """The one writer of this process.

    Args:
        open_store: opens the store, in the thread that writes.
        on_failure: told when the store cannot be written any more.
        show_logs: shows log lines once they are stored.
        watch: looks, in between, at what other processes want; None: nobody else is concerned.
    """

    def __init__(
        self,
        open_store: Callable[[], RunStore],
        on_failure: Callable[[BaseException], None],
        show_logs: Callable[[list[LogRecord]], None],
        watch: RunWatch | None = None,
    ) -> None:
        self._open_store = open_store
        self._on_failure = on_failure
        self._show_logs = show_logs
        self._watch = watch
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._store: RunStore | None = None
        self._owed: list[Sequence[Record]] = []
        self.busy_ns = 0  # so far
        self._thread = threading.Thread(target=self._work, name="dataflow records", daemon=True)
        self._thread.start()

    @property
    def store(self) -> RunStore | None:
        """The store that records are written to; None: there is none yet, or this is a worker."""
        return self._store if self._watch is not None else None

    def write(self, records: Sequence[Record], announcements: list[Announcement]) -> None:
        """Have records written and announcements made after that; returns at once."""
        self._queue.put(_Write(records, announcements))

    def write_now(
        self,
        records: Sequence[Record],
        announcements: Sequence[Announcement] = (),
        *,
        is_last: bool = False,
    ) -> None:
        """Write records, and everything that was handed over before; returns when it is done.

        Args:
            records: what to write.
            announcements: what is announced then.
            is_last: it is how a run ended. If it cannot be written now, it is tried once more when
                this writer is closed: the disk may have room then, the database may be back.

        Raises:
            StoreError: the store cannot be opened or written.
        """
        item = _Write(records, list(announcements), Gate(), is_last=is_last)
        self._queue.put(item)
        assert item.done is not None
        item.done.wait()
        if item.error is not None:
            raise item.error

    def end_below(self, run_id: str, state: State[Any]) -> None:
        """End the runs inside workers that were ended with a run; what was handed over is written.

        Raises:
            StoreError: the store cannot be written.
        """
        if self._watch is not None and self._store is not None:
            self._store.control.end_below(run_id, int(state.code), state.message or "")

    def close(self) -> None:
        """Write what is left and close the store."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while self._turn():  # no variable here, so that nothing is held while it waits
            pass
        for records in self._owed:
            self._try(list(records))
        if self._store is not None:
            self._store.close()

    def _turn(self) -> bool:
        """Write what has gathered; False if that was the last."""
        try:
            batch = [self._queue.get(timeout=self._seconds_to_wait())]
        except queue.Empty:
            batch = []
        while len(batch) < _MOST_AT_ONCE:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        items = [item for item in batch if item is not None]
        if items:
            begun = ticks_ns()
            self._write(items)
            self.busy_ns += ticks_ns() - begun
        self._look()
        return None not in batch

    def _look(self) -> None:
        if self._watch is not None and self._store is not None:
            self._watch.look(self._store)

    def _seconds_to_wait(self) -> float | None:
        return None if self._watch is None else self._watch.seconds_left()

    def _write(self, items: list[_Write]) -> None:
        records = [record for item in items for record in item.records]
        announcements = [one for item in items for one in item.announcements]
        due = due_hooks(announcements)
        if self._watch is not None:
            records += [each.record for each in due]
        error = self._try(records)
        try:
            if error is None:
                self._tell(records, announcements, due)
            else:
                self._owed += [item.records for item in items if item.is_last]
                self._on_failure(error)
            self._look()
        finally:  # whoever waits goes on when all of it has been announced and shown
            for item in items:
                item.error = error
                if item.done is not None:
                    item.done.open()

    def _tell(
        self, records: list[Record], announcements: list[Announcement], due: list[DueHooks]
    ) -> None:
        """Everything is in the store: let everyone know."""
        if events.has_subscribers():
            _publish_nodes(records)
        if announcements:
            announce(announcements)
            call_due_hooks(due, self.store)
        logs = [record for record in records if isinstance(record, LogRecord)]
        if logs:
            self._show_logs(logs)
            _publish_logs(logs)

    def _try(self, records: list[Record]) -> BaseException | None:
        while True:
            try:
                if self._store is None:
                    self._store = self._open_store()
                if records:
                    self._store.write(records)
            except InvalidTransition as error:  # somebody else has ended that run: so it stays
                position = _position_of(error.fields.get("refused"), records)
                if position is None:
                    return error
                records[:] = _without(records, position, error)
            except BaseException as error:
                return error
            else:
                return None


def _position_of(refused: Any, records: Sequence[Record]) -> int | None:
    """Where a state is that was refused: the last such, as one before it may have been taken."""
    if not isinstance(refused, RunStateRecord):
        return None
    for position, record in reversed(list(enumerate(records))):
        if isinstance(record, RunStateRecord) and _key(record) == _key(refused):
            return position
    return None


def _key(record: RunStateRecord) -> tuple[str, int, int]:
    """Which state of which run; its text may have been made legible on its way."""
    return record.run_id, record.code, record.timestamp_ns


def _without(records: Sequence[Record], position: int, error: InvalidTransition) -> list[Record]:
    """Records with a line instead of a state that a run could not enter, and no hooks for it."""
    refused = records[position]
    assert isinstance(refused, RunStateRecord)
    run_id, text = refused.run_id, f"A state was not recorded. {error.message}"
    name = "dataflow.flow_runs"
    line = LogRecord(run_id, None, None, 1, now_ns(), logging.ERROR, name, text, None, 0)
    rest: list[Record] = [*records[:position], line, *records[position + 1 :]]
    return [each for each in rest if not _is_due_for(each, refused)]


def _is_due_for(record: Record, state: RunStateRecord) -> bool:
    if not isinstance(record, DueHooksRecord) or record.node != THE_RUN:
        return False
    return (record.run_id, record.code) == (state.run_id, state.code)


def _publish_nodes(records: Sequence[Any]) -> None:
    by_run: dict[str, list[NodeRecord]] = {}
    for record in records:
        if isinstance(record, NodeRecord):
            by_run.setdefault(record.run_id, []).append(record)
    for run_id, nodes in by_run.items():
        events.publish(events.NodesAdded(run_id, nodes))


def _publish_logs(logs: list[LogRecord]) -> None:
    if events.has_subscribers():
        for run_id in dict.fromkeys(record.run_id for record in logs):
            events.publish(
                events.LogsRecorded(run_id, [log for log in logs if log.run_id == run_id])
            )
