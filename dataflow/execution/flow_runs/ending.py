"""How a flow ends: its final state from what its body returned, raised or left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from dataflow.errors import FailedRun, SettingsError, UnhandledTaskFailure
from dataflow.execution import results
from dataflow.execution.scope import RunScope
from dataflow.graph.nodes import BAD_CODES, CallNode, MapNode, TaskNode
from dataflow.model.annotations import Annotation
from dataflow.model.arguments import rebuild
from dataflow.model.inputs import Ref, Reference
from dataflow.model.states import State, StateCode, StateType
from dataflow.settings import get_settings
from dataflow.worker.failures import leave_out_our_lines, text_of

_MOST_NAMED = 20
_KINDS = (Reference, State, Annotation)
Raised = TypeVar("Raised", bound=BaseException)


def state_of_exception(error: BaseException) -> State[Any]:
    """The state of a flow whose body raised."""
    message = f"Flow run encountered an exception: {type(error).__name__}: {text_of(error)}"
    return State.of_code(StateCode.FAILED, message=message, data=error)


def state_of_result(scope: RunScope, result: Any, fail_on_unhandled: bool) -> State[Any]:
    """The state of a flow whose body returned ``result``, and whose tasks have all ended."""
    if isinstance(result, State):
        return _final(scope, result)
    states: list[State[Any]] = []
    value = rebuild(result, _KINDS, lambda item: _value(item, states))
    if isinstance(result, Reference) and len(states) == 1 and isinstance(result.refs(), Ref):
        return _final(scope, states[0])
    if states:
        return _state_of_states(states, value)
    if fail_on_unhandled:
        unhandled = list(_unhandled(scope))
        if unhandled:
            return _unhandled_state(scope, unhandled)
    return State.of_code(StateCode.COMPLETED, data=value)


def failure_of(state: State[Any]) -> BaseException:
    """The exception of a flow that did not complete: with the user's lines, without ours."""
    return shortened(state.data if isinstance(state.data, BaseException) else state.as_error())


def shortened(error: Raised) -> Raised:
    """An error as it is raised to the user, unless they look for a mistake of ours."""
    try:
        is_debugging = get_settings().debug
    except SettingsError:  # which may be the error
        is_debugging = False
    if not is_debugging:
        leave_out_our_lines(error)
    return error


def _final(scope: RunScope, state: State[Any]) -> State[Any]:
    """A flow is Failed where its result is a task run that could not begin, or has not ended."""
    rests = state.is_final() or state.type is StateType.PAUSED
    if rests and state.code is not StateCode.NOT_READY:
        return state
    if state.code is StateCode.NOT_READY:
        return State.of_code(StateCode.FAILED, message=state.message, data=state.data)
    said = f": {state.message}" if state.message else ""
    flow = f"The flow {scope.info.flow_name!r}"
    message = f"{flow} returned the state {state.name}{said}, which does not end a run."
    return State.of_code(StateCode.FAILED, message=message, data=FailedRun(message))


def _value(item: Any, states: list[State[Any]]) -> Any:
    if isinstance(item, Annotation):
        return rebuild(item.value, _KINDS, lambda inner: _value(inner, states))
    if isinstance(item, State):
        states.append(item)
        return item.result(raise_on_failure=False)
    return _values(item.refs(), states)


def _values(target: Any, states: list[State[Any]]) -> Any:
    if isinstance(target, list):
        return [_values(item, states) for item in target]
    if not isinstance(target, Ref):
        return target
    node, element = target.node, target.element
    results.notice(node, element)
    if isinstance(node, MapNode) and element is None:
        if node.length is None:
            states.append(_map_state(node))
            return None
        return [_values(Ref(node, at), states) for at in range(node.length)]
    state = results.state_of(node, element)
    states.append(state)
    return state.result(raise_on_failure=False)


def _map_state(node: MapNode) -> State[Any]:
    error = results.exception_of(node, None)
    return State.of_code(StateCode.NOT_READY, message=str(error), data=error)


def _state_of_states(states: list[State[Any]], value: Any) -> State[Any]:
    if all(state.is_completed() for state in states):
        return State.of_code(StateCode.COMPLETED, data=value)
    for kind in (StateType.CANCELLED, StateType.PAUSED):
        for state in states:
            if state.type is kind:
                return state
    bad = [state for state in states if not state.is_completed()]
    message = f"{len(bad)}/{len(states)} states failed."
    errors = [_as_error(state) for state in bad]
    if len(errors) == 1:
        return State.of_code(StateCode.FAILED, message=message, data=errors[0])
    group = UnhandledTaskFailure(message, errors[:_MOST_NAMED])
    return State.of_code(StateCode.FAILED, message=message, data=group)


def _as_error(state: State[Any]) -> Exception:
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else FailedRun(str(error))


def _unhandled(scope: RunScope) -> Iterator[Ref]:
    """Failed task runs that nobody looked at, neither at them nor at what they made fail."""
    nodes = list(scope.graph.nodes)
    _spread_notice(nodes)
    for node in nodes:
        if isinstance(node, TaskNode):
            if node.announced in BAD_CODES and not node.noticed:
                yield Ref(node)
        elif isinstance(node, MapNode):
            if node.length is None:
                if node.failure is not None and not node.noticed:
                    yield Ref(node)
                continue
            for element in sorted(node.failures):
                if node.codes[element] in BAD_CODES and not results.is_noticed(node, element):
                    yield Ref(node, element)


def _spread_notice(nodes: list[Any]) -> None:
    """Whoever looked at a task that did not run has looked at the reason as well."""
    for node in reversed(nodes):
        if isinstance(node, CallNode) or not node.noticed or not _has_failed(node):
            continue
        for ref in (*node.upstream, *node.order):
            results.notice(ref.node, ref.element)


def _has_failed(node: Any) -> bool:
    if isinstance(node, TaskNode):
        return node.announced in BAD_CODES
    return bool(node.failures) or node.failure is not None


def _unhandled_state(scope: RunScope, unhandled: list[Ref]) -> State[Any]:
    names = [results.name_of(ref.node, ref.element) for ref in unhandled[:_MOST_NAMED]]
    more = len(unhandled) - len(names)
    shown = ", ".join(names) + (f" and {more} more" if more else "")
    message = (
        f"{len(unhandled)} task run{'s' if len(unhandled) > 1 else ''} of flow "
        f"{scope.info.flow_name!r} did not end well and nobody looked at "
        f"{'them' if len(unhandled) > 1 else 'it'}: {shown}. {UnhandledTaskFailure.message_hint}"
    )
    errors = []
    for ref in unhandled[:_MOST_NAMED]:
        error = results.exception_of(ref.node, ref.element)
        errors.append(error if isinstance(error, Exception) else FailedRun(str(error)))
    return State.of_code(
        StateCode.FAILED, message=message, data=UnhandledTaskFailure(message, errors)
    )
