"""Hooks of task runs that a process has left, as it was killed: called by whoever comes after it.

Where the run goes on, that is the process that drives it, as soon as the nodes are traced again:
then it is known which task each has. Of a run that stays as it is, it is a process that has the
flow loaded and, under the name of the task, one that anybody can find: neither it nor its hooks
were made inside a function, where they may belong to another call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from dataflow.errors import StoreError
from dataflow.execution.hooks import Say, hooks_for
from dataflow.execution.results import name_of
from dataflow.execution.task_hooks import call_in_turn, hook_thread
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import Node
from dataflow.ids import task_run_id
from dataflow.model.batches import RunInfo
from dataflow.model.declared import is_global, known_tasks
from dataflow.model.records import AS_A_WHOLE, DueHooksRecord
from dataflow.model.states import State, StateCode, StateType
from dataflow.store.run_store import RunStore
from dataflow.worker.task_run import TaskRun

_unknown: set[tuple[str, int]] = set()
"""Those whose tasks this process does not know: it asks for them once, not every few seconds."""
NameOf = Callable[[int | None], str]


def find_left_hooks(graph: FlowGraph, store: RunStore) -> None:
    """Find out which hooks are to be called when the nodes of a run that goes on are traced."""
    found: dict[int, list[LeftHooks]] = {}
    for record in store.control.due_task_hooks(graph.run_id):
        found.setdefault(record.node, []).append(LeftHooks(record, store))
    graph.left_hooks = found


def call_left_hooks(nodes: Iterable[Node]) -> None:
    """Have the hooks called that were left of these nodes, which have just been traced."""
    for node in nodes:
        for left in node.graph.left_hooks.pop(node.id, ()):
            graph, name = node.graph, partial(name_of, node)
            hook_thread.put(partial(left.call, node.task, graph.info, name, graph.say))


def call_left_hooks_of(store: RunStore, info: RunInfo, say: Say) -> None:
    """Call the hooks that were left of a run that nobody drives, as far as it is known which."""
    due = store.control.due_task_hooks(info.run_id)
    left = [record for record in due if _place(record) not in _unknown]
    nodes = {each.node: each for each in store.nodes(info.run_id)} if left else {}
    for record in left:
        node = nodes.get(record.node)
        task = None if node is None else _find_task(node.task_name, record.code)
        if task is None:
            _unknown.add(_place(record))
        else:
            name = partial(_name_in_store, node)
            LeftHooks(record, store).call(task, info, name, say)


def _place(record: DueHooksRecord) -> tuple[str, int]:
    return record.run_id, record.number


class LeftHooks:
    """Some hooks that were left, with the states that they are about as the store has them now.

    Args:
        record: for which task runs and which state.
        store: where that is recorded.
    """

    def __init__(self, record: DueHooksRecord, store: RunStore) -> None:
        self._record = record
        self._store = store
        starts = range(record.start, record.stop)
        elements = [None if start == AS_A_WHOLE else start for start in starts]
        # read before anything runs again, and puts other results in their place
        self._states = {element: _state(record, element, store) for element in elements}

    def call(self, task: Any, info: RunInfo, name: NameOf, say: Say) -> None:
        """Call them, but for those that somebody else calls."""
        record = self._record

        def arguments(element: int | None) -> tuple[Any, ...]:
            state = self._states[element]
            run = TaskRun(
                id=task_run_id(info.run_id, record.node, element or 0),
                name=name(element),
                task_name=task.name,
                flow_run_id=info.run_id,
                map_index=element,
                run_count=record.attempt,
                tags=info.tags,
                state=state,
            )
            return task, run, state

        call_in_turn(record, hooks_for(task, record.code), self._store, arguments, say)


def _state(record: DueHooksRecord, element: int | None, store: RunStore) -> State[Any]:
    """A state with its result, where that was kept, or its exception."""
    from dataflow.storage.stored_result import ResultNotKept, with_result

    code = StateCode(record.code)
    if not code.is_ended:
        return State.of_code(code)
    run_id, index = record.run_id, element or 0
    is_good = code.type is StateType.COMPLETED
    of = f"task run {task_run_id(run_id, record.node, index)}"
    unknown = State.of_code(code, data=ResultNotKept(of) if is_good else None)
    try:
        found = with_result(store.element(run_id, record.node, index), store)
    except StoreError:
        return unknown
    for attempt in found.attempts:
        if (attempt.attempt, attempt.state.code) == (record.attempt, code):
            state = found.state if found.state.code is code else attempt.state
            data = (state.data or unknown.data) if is_good else attempt.exception
            return State(state.type, state.name, state.message, data, state.timestamp)
    return unknown


def _name_in_store(node: Any, element: int | None) -> str:
    name: str = node.name if element is None else node.element_name(element)
    return name


def _find_task(name: str, code: int) -> Any:
    """The task of a name, as far as its hooks for a state go; None: they cannot be told."""
    found = [task for task in list(known_tasks.get(name, ())) if hooks_for(task, code)]
    hooks = [hooks_for(task, code) for task in found]
    is_clear = bool(hooks) and all(each == hooks[0] for each in hooks)
    return found[0] if is_clear and all(map(is_global, hooks[0])) else None
