"""Transactions: task runs that count together, or are undone together.

What is called or submitted inside one belongs to it. When it ends well, its task runs are committed
in their order; when its body raises, or one of its task runs failed and nobody took notice, those
that completed are rolled back, the last one first. One inside another waits for the outer one.
Hooks are called in the flow's process; values that tasks on workers set come back with their batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from enum import Enum
from typing import Any

from dataflow.execution import results
from dataflow.execution.hooks.calling import call_hooks
from dataflow.execution.hooks.of_tasks import wait_for_hooks
from dataflow.execution.limits.slots import slot_keeper
from dataflow.execution.transactions.kept_values import KeptValue, values_by_index
from dataflow.execution.transactions.rolling_back import (
    done_runs,
    note_committed,
    record_rolled_back,
    reused_runs,
)
from dataflow.graph.nodes import BAD_CODES, CallNode, MapNode, Node, TaskNode
from dataflow.ids import task_run_id
from dataflow.model.records import TransactionValue
from dataflow.worker.call_context import (
    CallContext,
    current_call,
    current_scope,
    current_transaction,
)

_MISSING = object()
_logger = logging.getLogger("dataflow.transactions")
Hook = Callable[[Any], Any]


class TransactionState(str, Enum):
    """How far a transaction is."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


class Values:
    """What is known by name inside a transaction; what is not there is looked for around it."""

    def __init__(self, parent: Values | None) -> None:
        self.parent = parent
        self._values: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> None:
        """Keep a value for hooks, and for whatever comes later in this transaction."""
        self._values[name] = value

    def set_all(self, values: Mapping[str, Any]) -> None:
        """Keep values that were set before."""
        self._values.update(values)

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """A value that was set here or around here.

        Raises:
            ValueError: there is none of that name, and no default; or the process that had it is
                gone, and it could not be kept.
        """
        if name in self._values:
            value = self._values[name]
            if isinstance(value, KeptValue):
                value = self._values[name] = value.load(name)
            return value
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _MISSING:
            raise ValueError(f"No value {name!r} was set in this transaction.")
        return default


class TaskTransaction(Values):
    """The part of a transaction that one task run is: what its hooks get.

    Attributes:
        key: the id of the task run.
        name: its name.
        state: ``COMMITTED`` or ``ROLLED_BACK`` by the time that hooks are called.
    """

    def __init__(self, key: str, name: str, parent: Values | None) -> None:
        super().__init__(parent)
        self.key = key
        self.name = name
        self.state = TransactionState.ACTIVE


class _CallTransaction(TaskTransaction):
    """The same inside the task: what it sets goes home with the report of the call."""

    def __init__(self, call: CallContext) -> None:
        place = call.place
        key = task_run_id(call.run.run_id, place.node, place.index or 0)
        super().__init__(key, call.task_run_name, current_transaction.get())
        self._call = call

    def set(self, name: str, value: Any) -> None:
        super().set(name, value)
        place, run_id = self._call.place, self._call.run.run_id
        self._call.records.append(TransactionValue(run_id, place.node, place.index, name, value))


class Transaction(Values):
    """Made by ``transaction()``; entered and left by ``with`` or ``async with``.

    Attributes:
        key: under which it is remembered that it was committed; None: it is not.
        state: how far it is.
    """

    def __init__(self, key: str | None = None, overwrite: bool = False) -> None:
        super().__init__(None)
        self.key = key
        self.state = TransactionState.PENDING
        self._overwrite = overwrite
        self._parts: list[tuple[Node, int] | Transaction] = []
        self._hooks: dict[str, list[Hook]] = {"on_commit": [], "on_rollback": []}
        self._token: Token[Transaction | None] | None = None
        self._has_committed = False  # what is in it, before its run went on

    # --- what it is asked ------------------------------------------------------------------------

    def is_committed(self) -> bool:
        """Whether it is committed, now or in an earlier run (then there is nothing to do)."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it was rolled back."""
        return self.state is TransactionState.ROLLED_BACK

    def is_staged(self) -> bool:
        """Whether it has ended well, and waits for the one around it."""
        return self.state is TransactionState.STAGED

    def is_active(self) -> bool:
        """Whether its body goes on."""
        return self.state is TransactionState.ACTIVE

    def stage(
        self,
        value: Any = None,
        on_rollback_hooks: Iterable[Hook] = (),
        on_commit_hooks: Iterable[Hook] = (),
    ) -> None:
        """Give it hooks ``hook(transaction)`` of its own; a value is kept as ``"staged"``."""
        if value is not None:
            self.set("staged", value)
        self._hooks["on_rollback"] += on_rollback_hooks
        self._hooks["on_commit"] += on_commit_hooks

    def add(self, node: Node, attempt: int = 1) -> None:
        """A task run belongs to it."""
        if self.state is TransactionState.ACTIVE:
            self._parts.append((node, attempt))

    def note_committed_before(self) -> None:
        """A subflow in it need not run again, and what it did was committed."""
        self._has_committed = True
        if isinstance(self.parent, Transaction):
            self.parent.note_committed_before()

    # --- from beginning to end -------------------------------------------------------------------

    def __enter__(self) -> Transaction:
        outer = current_transaction.get()
        self.parent = outer
        self.state = TransactionState.ACTIVE
        if self.key is not None and not self._overwrite and _control().has_committed(self.key):
            self.state = TransactionState.COMMITTED
        elif outer is not None and outer.is_active():
            outer._parts.append(self)
        self._token = current_transaction.set(self)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._leave()
        if self.is_active():
            self.end(error)

    async def __aenter__(self) -> Transaction:
        return self.__enter__()

    async def __aexit__(self, _kind: object, error: BaseException | None, _tb: object) -> None:
        import asyncio

        self._leave()
        if self.is_active():
            await asyncio.to_thread(self.end, error)

    def _leave(self) -> None:
        assert self._token is not None
        current_transaction.reset(self._token)

    def end(self, error: BaseException | None) -> None:
        """Its body has ended: commit, or roll back if it raised or a task run failed unnoticed."""
        self._wait()
        if error is not None or any(map(_has_failed, self._nodes())):
            self.roll_back()
        elif isinstance(self.parent, Transaction) and self.parent.is_active():
            self.state = TransactionState.STAGED
        else:
            self.commit()

    def _nodes(self) -> list[Node]:
        return [part[0] for part in self._parts if not isinstance(part, Transaction)]

    def _wait(self) -> None:
        for node in self._nodes():
            if isinstance(node, TaskNode) or (isinstance(node, MapNode) and node.failure is None):
                results.wait_ended(node, None, None)

    def commit(self) -> None:
        """Call the commit hooks of all that is in it, in order."""
        was_committed = self._was_committed()
        for part in self._parts:
            if isinstance(part, Transaction):
                if part.is_staged():
                    part.commit()
            else:
                node, _ = part
                state = TransactionState.COMMITTED
                self._call_task_hooks(node, done_runs(node), "on_commit", state)
                note_committed(node)
        self.state = TransactionState.COMMITTED
        if self.key is not None:
            scope = current_scope.get()
            _control().note_committed(self.key, scope.info.run_id if scope else "")
        if not was_committed:
            self._call_own_hooks("on_commit")

    def _was_committed(self) -> bool:
        """Whether all that is in it was committed before its run went on, or was tried again."""
        nodes = list(self._all_nodes())
        return (self._has_committed or any(map(reused_runs, nodes))) and not any(
            map(done_runs, nodes)
        )

    def _all_nodes(self) -> Iterator[Node]:
        for part in self._parts:
            if isinstance(part, Transaction):
                yield from part._all_nodes()
            else:
                yield part[0]

    def roll_back(self) -> None:
        """Undo what has completed in it, the last first; does nothing if that has been done."""
        if self.is_rolled_back():
            return
        self.state = TransactionState.ROLLED_BACK
        for graph in {node.graph for node in self._nodes()}:
            wait_for_hooks(graph)  # that they have completed is told first
        for part in reversed(self._parts):
            if isinstance(part, Transaction):
                part.roll_back()
            else:
                self._undo(*part)
        for writer in {node.graph.queue.loop.writer for node in self._nodes()}:
            writer.write_now([])  # what is done from here on finds no result of it
        self._call_own_hooks("on_rollback")

    def _undo(self, node: Node, attempt: int) -> None:
        """Record that task runs are rolled back, then call their hooks, the last first.

        If the process is killed in between, they are done again as if they had never been: what is
        undone without that being known would be taken for done.
        """
        runs = done_runs(node)
        record_rolled_back(node, runs, attempt)
        if runs and node.task.hooks["on_rollback"]:
            node.graph.queue.loop.writer.write_now([])
            state = TransactionState.ROLLED_BACK
            self._call_task_hooks(node, runs[::-1], "on_rollback", state)

    def _call_task_hooks(
        self, node: Node, runs: Iterable[int], kind: str, state: TransactionState
    ) -> None:
        hooks = node.task.hooks[kind]
        if not hooks:
            return
        values = values_by_index(node)
        for index in runs:
            element = index if isinstance(node, MapNode) else None
            key = task_run_id(node.graph.run_id, node.id, index)
            part = TaskTransaction(key, results.name_of(node, element), self)
            part.set_all(values(index))
            part.state = state
            call_hooks(hooks, (part,), node.graph.say)

    def _call_own_hooks(self, kind: str) -> None:
        scope = current_scope.get()
        call_hooks(self._hooks[kind], (self,), scope.say if scope is not None else _logger.log)


def get_transaction() -> Transaction | TaskTransaction | None:
    """The transaction that goes on here; inside a task the part of it that the task run is."""
    call = current_call.get()
    return current_transaction.get() if call is None else _CallTransaction(call)


def _has_failed(node: Node) -> bool:
    """Whether a task run (or one of a map) failed and nobody has looked at it."""
    if isinstance(node, CallNode):
        return False  # it raised, where it was called
    if isinstance(node, TaskNode):
        return node.announced in BAD_CODES and not node.noticed
    if node.failure is not None:
        return not node.noticed
    return any(
        node.codes[element] in BAD_CODES and not results.is_noticed(node, element)
        for element in node.failures
    )


def _control() -> Any:
    return slot_keeper().store.control
