"""Looking after runs, in any database: see :class:`dataflow.store.run_control.RunControl`."""

from __future__ import annotations

from dataflow.clock import now_ns
from dataflow.errors import InvalidTransition
from dataflow.model.records import THE_RUN, DueHooksRecord, RunStateRecord
from dataflow.model.states import StateCode
from dataflow.process_ids import ProcessId
from dataflow.store.database import Database, Transaction
from dataflow.store.record_rows import put_states
from dataflow.store.run_control import Driven
from dataflow.store.run_keys import run_key
from dataflow.store.store_clock import store_now_ns

_GONE = "The process of the run ({}) is gone; nobody heard it end."


class DatabaseControl:
    """The control of the runs in ``database``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        """See :meth:`RunControl.version`."""
        return self._database.version()

    def beat(self, process: ProcessId) -> None:
        """See :meth:`RunControl.beat`."""

        def beat(transaction: Transaction) -> None:
            transaction.change("beat", [(store_now_ns(transaction), *process)])

        self._database.write(beat)

    def driver(self, run_id: str) -> ProcessId | None:
        """See :meth:`RunControl.driver`."""
        row = self._database.read(lambda view: view.row("driver", (run_key(run_id),)))
        return None if row is None else ProcessId(*row)

    def take_up(self, run_id: str, process: ProcessId) -> ProcessId | None:
        """See :meth:`RunControl.take_up`."""
        key = run_key(run_id)

        def take_up(transaction: Transaction) -> ProcessId | None:
            transaction.hold([key])
            row = transaction.row("driver", (key,))
            if row is not None:
                return ProcessId(*row)
            transaction.change("put_driver", [(key, *process, store_now_ns(transaction))])
            return None

        return self._database.write(take_up)

    def give_up(self, run_id: str, process: ProcessId) -> None:
        """See :meth:`RunControl.give_up`."""
        row = (run_key(run_id), *process)
        self._database.write(lambda transaction: transaction.change("drop_own_driver", [row]))

    def wanted(self, process: ProcessId) -> list[tuple[str, int, str | None]]:
        """See :meth:`RunControl.wanted`."""
        rows = self._database.read(lambda view: view.rows("wanted", process))
        return [(run_id, code, said) for run_id, code, said in rows]

    def cancel_undriven(self, run_id: str, message: str) -> bool:
        """See :meth:`RunControl.cancel_undriven`."""
        key = run_key(run_id)

        def cancel(transaction: Transaction) -> bool:
            transaction.hold([key])
            if transaction.row("driver", (key,)) is not None:
                return False
            return _end(transaction, run_id, StateCode.CANCELLED, message)

        return self._database.write(cancel)

    def resume_paused(self, run_id: str, put_in: str | None) -> bool:
        """See :meth:`RunControl.resume_paused`."""
        key = run_key(run_id)

        def resume(transaction: Transaction) -> bool:
            transaction.hold([key])
            latest = transaction.row("latest_run_state", (key,))
            if latest is None or latest[0] != StateCode.PAUSED:
                return False
            put_states([_state(run_id, StateCode.RESUMING, put_in, latest[-1])], transaction)
            return True

        return self._database.write(resume)

    def end_below(self, run_id: str, code: int, message: str) -> None:
        """See :meth:`RunControl.end_below`."""
        if self._database.read(lambda view: _undriven_below(view, run_id)):
            self._database.write(lambda each: _end_below(each, run_id, StateCode(code), message))

    def crash_vanished(self) -> list[str]:
        """See :meth:`RunControl.crash_vanished`."""
        vanished = self._database.read(_vanished)
        if not vanished:
            return []
        return self._database.write(lambda transaction: _crash(transaction, vanished))

    def has_committed(self, key: str) -> bool:
        """See :meth:`RunControl.has_committed`."""
        return self._database.read(lambda view: view.row("has_committed", (key,))) is not None

    def note_committed(self, key: str, run_id: str) -> None:
        """See :meth:`RunControl.note_committed`."""
        row = (key, run_id, now_ns())
        self._database.write(lambda transaction: transaction.change("note_committed", [row]))

    def runs_with_due_hooks(self) -> list[str]:
        """See :meth:`RunControl.runs_with_due_hooks`."""
        rows = self._database.read(lambda view: view.rows("runs_with_due_hooks"))
        return [row[0] for row in rows]

    def due_hooks(self, run_id: str) -> list[DueHooksRecord]:
        """See :meth:`RunControl.due_hooks`."""
        key = run_key(run_id)
        rows = self._database.read(lambda view: view.rows("due_hooks", (key,)))
        return [DueHooksRecord(run_id, *row) for row in rows]

    def claim_hook(self, due: DueHooksRecord, rest: DueHooksRecord | None) -> bool:
        """See :meth:`RunControl.claim_hook`."""
        which = (run_key(due.run_id), due.number, due.start, due.called)
        if rest is None:
            return self._database.write(lambda each: _claim_last(each, which, due.node))
        values = (rest.start, rest.called, *which)
        return self._database.write(lambda each: each.row("claim_hook", values) is not None)


def _claim_last(transaction: Transaction, which: tuple[int, ...], node: int) -> bool:
    key = which[0]
    if node == THE_RUN:
        transaction.hold([key])
    is_mine = transaction.row("claim_last_hook", which) is not None
    if is_mine and node == THE_RUN:
        transaction.change("drop_driver_of_ended", [(key,)])
    return is_mine


def _vanished(view: Transaction) -> list[Driven]:
    rows = view.rows("drivers")
    driven = [Driven(row[0], ProcessId(*row[1:4]), row[4]) for row in rows]
    now = store_now_ns(view) if driven else 0
    return [each for each in driven if each.has_vanished(now)]


def _undriven_below(view: Transaction, run_id: str) -> list[str]:
    return [row[0] for row in view.rows("undriven_descendants", (run_id,))]


def _crash(transaction: Transaction, vanished: list[Driven]) -> list[str]:
    """End those that are still driven by whom they were when they were found."""
    below = {each.run_id: _undriven_below(transaction, each.run_id) for each in vanished}
    held = {*below, *(run_id for found in below.values() for run_id in found)}
    transaction.hold(map(run_key, held))
    crashed = []
    known = set(_vanished(transaction))
    for driven in vanished:
        if driven not in known:
            continue
        process = driven.process
        message = _GONE.format(f"{process.pid} on {process.place.partition('/')[0]}")
        if _end(transaction, driven.run_id, StateCode.CRASHED, message):
            crashed.append(driven.run_id)
        for run_id in below[driven.run_id]:
            _end(transaction, run_id, StateCode.CRASHED, message)
    return crashed


def _end_below(transaction: Transaction, run_id: str, code: StateCode, said: str) -> None:
    below = _undriven_below(transaction, run_id)
    transaction.hold(map(run_key, below))
    for each in below:
        _end(transaction, each, code, said)


def _end(transaction: Transaction, run_id: str, code: StateCode, message: str) -> bool:
    """End a run that nobody drives any more, if it has not ended; its hooks for that are due."""
    key = run_key(run_id)
    latest = transaction.row("latest_run_state", (key,))
    run_count = 1 if latest is None else latest[-1]
    transaction.change("drop_driver", [(key,)])
    try:
        put_states([_state(run_id, code, message, run_count)], transaction)
    except InvalidTransition:
        return False
    transaction.change("note_due_hooks", [(key, 1 << code)])
    return True


def _state(run_id: str, code: StateCode, message: str | None, run_count: int) -> RunStateRecord:
    return RunStateRecord(run_id, int(code), code.state_name, message, now_ns(), run_count)
