"""Hooks that a process has left, as it was killed: called by whoever comes after it.

Where the run goes on, that is the process that drives it: those of the run itself before it begins,
those of its tasks as soon as the nodes are traced again, when it is known which task each has. Of a
run that stays as it is, it is a process that has the flow loaded and runs something itself: most
often the same program, started again, which does not end before they have been called. It finds
tasks under their names, but for those that were made inside a function, or whose hooks were: they
may belong to another call. Until there is such a process, hooks wait in the store.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.clock import now_ns
from dataflow.errors import StoreError
from dataflow.execution.hooks.calling import Say, hooks_for
from dataflow.execution.hooks.due import call_in_turn
from dataflow.execution.hooks.flow_run_info import FlowRunInfo
from dataflow.execution.hooks.of_tasks import hook_thread
from dataflow.execution.results import name_of
from dataflow.graph.nodes import Node
from dataflow.ids import task_run_id
from dataflow.model.batches import RunInfo
from dataflow.model.declared import is_global, known_flows, known_tasks
from dataflow.model.records import AS_A_WHOLE, THE_RUN, DueHooksRecord, LogRecord
from dataflow.model.states import State, StateCode, StateType
from dataflow.store.run_store import RunStore
from dataflow.worker.run_logs import FLOW_RUNS
from dataflow.worker.task_run import TaskRun

if TYPE_CHECKING:
    from dataflow.store.summaries import RunSummary

_unknown: set[tuple[str, int]] = set()
"""Those whose tasks this process does not know: it asks for them once, not every few seconds."""
NameOf = Callable[[int | None], str]


# --- of a run that goes on -----------------------------------------------------------------------


def find_left_hooks(store: RunStore, run_id: str) -> dict[int, list[LeftHooks]]:
    """Those that were left of a run, by their nodes; to be asked for before anything runs again."""
    found: dict[int, list[LeftHooks]] = {}
    for record in store.control.due_hooks(run_id):
        found.setdefault(record.node, []).append(LeftHooks(record, store))
    return found


def call_left_hooks(nodes: Iterable[Node]) -> None:
    """Have the hooks called that were left of these nodes, which have just been traced."""
    for node in nodes:
        for left in node.graph.left_hooks.pop(node.id, ()):
            graph, name = node.graph, partial(name_of, node)
            hook_thread.put(partial(left.call, node.task, graph.info, graph.say, name))


# --- of runs that nobody drives ------------------------------------------------------------------


def call_left_hooks_of(store: RunStore, run_ids: list[str]) -> None:
    """Have those called that were left of these runs, where this process has the flows.

    It returns at once.
    """
    if known_flows:
        hook_thread.put(lambda: _call_all(store, run_ids))
        atexit.unregister(hook_thread.drain)
        atexit.register(hook_thread.drain)  # what it has claimed nobody else will call


def _call_all(store: RunStore, run_ids: list[str]) -> None:
    try:
        for run_id in run_ids:
            summary = store.run(run_id)
            flow = known_flows.get(summary.flow_name)
            if flow is not None and flow.code_path == summary.code_path:
                _call_those_of(flow, summary, store)
    except StoreError as error:  # what was not claimed, somebody else will call
        logging.getLogger("dataflow.control").warning("Hooks were not called: %s", error)


def _call_those_of(flow: Any, summary: RunSummary, store: RunStore) -> None:
    run_id, info = summary.run_id, _info(summary)
    due = [each for each in store.control.due_hooks(run_id) if _place(each) not in _unknown]
    if not due or store.control.driver(run_id) is not None:
        return
    say = partial(_log, store, info)
    nodes = {each.node: each for each in store.nodes(run_id)}
    for record in due:
        node = nodes.get(record.node)
        if record.node == THE_RUN:
            LeftHooks(record, store).call(flow, info, say)
        elif node is not None and (task := _find_task(node.task_name, record.code)) is not None:
            LeftHooks(record, store).call(task, info, say, partial(_name_in_store, node))
        else:
            _unknown.add(_place(record))


def _place(record: DueHooksRecord) -> tuple[str, int]:
    return record.run_id, record.number


def _info(summary: RunSummary) -> RunInfo:
    return RunInfo(
        summary.run_id,
        summary.name,
        summary.flow_name,
        summary.tags,
        summary.parameters,
        summary.run_count,
        summary.parent_run_id,
    )


def _log(store: RunStore, info: RunInfo, level: int, text: str) -> None:
    line = LogRecord(
        info.run_id, None, None, info.run_count, now_ns(), level, FLOW_RUNS, text, info.name, 0
    )
    store.write([line])


def _name_in_store(node: Any, element: int | None) -> str:
    name: str = node.name if element is None else node.element_name(element)
    return name


def _find_task(name: str, code: int) -> Any:
    """The task of a name, as far as its hooks for a state go; None: they cannot be told."""
    found = [task for task in list(known_tasks.get(name, ())) if hooks_for(task, code)]
    hooks = [hooks_for(task, code) for task in found]
    is_clear = bool(hooks) and all(each == hooks[0] for each in hooks)
    return found[0] if is_clear and all(map(is_global, hooks[0])) else None


# --- what they are told --------------------------------------------------------------------------


class LeftHooks:
    """Some hooks that were left, with the states that they are about as the store has them now.

    Args:
        record: for which runs and which state.
        store: where that is recorded.
    """

    def __init__(self, record: DueHooksRecord, store: RunStore) -> None:
        self._record = record
        self._store = store
        starts = range(record.start, record.stop)
        elements = [None if start == AS_A_WHOLE else start for start in starts]
        # read before anything runs again, and puts other results in their place
        self._states = {element: _state(record, element, store) for element in elements}

    def call(self, owner: Any, info: RunInfo, say: Say, name: NameOf | None = None) -> None:
        """Call them, but for those that somebody else calls.

        Args:
            owner: the task or flow whose they are.
            info: the run.
            say: logs what they raise.
            name: gives the name of the task run of an element.
        """
        record = self._record
        info = replace(info, run_count=record.attempt)

        def arguments(element: int | None) -> tuple[Any, ...]:
            state = self._states[element]
            run: Any = FlowRunInfo(info, state)
            if name is not None:
                run = TaskRun(
                    id=task_run_id(info.run_id, record.node, element or 0),
                    name=name(element),
                    task_name=owner.name,
                    flow_run_id=info.run_id,
                    map_index=element,
                    run_count=record.attempt,
                    tags=info.tags,
                    state=state,
                )
            return owner, run, state

        hooks = hooks_for(owner, record.code)
        call_in_turn(record, hooks, self._store, arguments, say, partial(self._tell, say))

    def _tell(self, say: Say) -> None:
        if self._record.node == THE_RUN:
            name = StateCode(self._record.code).state_name
            say(logging.INFO, f"Its process has left hooks for the state {name}: hooks are called.")


def _state(record: DueHooksRecord, element: int | None, store: RunStore) -> State[Any]:
    """A state with its result, where that was kept, or its exception."""
    from dataflow.storage.stored_result import ResultNotKept, with_result

    code = StateCode(record.code)
    if record.node == THE_RUN:
        return _state_of_run(record, code, store)
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


def _state_of_run(record: DueHooksRecord, code: StateCode, store: RunStore) -> State[Any]:
    from dataflow.storage.stored_result import flow_result

    states = store.run_states(record.run_id, record.attempt)
    found = next((state for state in states if state.code is code), State.of_code(code))
    name = store.run(record.run_id).name if found.is_completed() else ""
    return flow_result(record.run_id, name, found, store)
