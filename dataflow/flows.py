"""Flows: functions whose calls of tasks are traced into a graph, planned, run and recorded."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from dataflow.errors import DataflowError, TransferError
from dataflow.model.declared import Declared, known_flows
from dataflow.model.functions import name_of_function
from dataflow.model.options import FlowOptions, Hook

if TYPE_CHECKING:
    from dataflow.execution.control.resuming import Resumption
    from dataflow.futures import FutureList, TaskFuture
    from dataflow.graph.flow_graph import FlowGraph
    from dataflow.graph.mermaid import Drawing
    from dataflow.planner.plan import Plan

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Declared, Generic[P, R]):
    """A function with the options of a flow; made by :func:`flow`, never changed afterwards.

    Attributes:
        fn: the function itself.
        task_runner: who carries out its tasks (None: its caller's runner, or the settings').
        fail_on_unhandled: whether failed tasks that nobody looked at make it fail.
    """

    decorator = "flow"

    def __init__(self, fn: Callable[P, R], **options: Unpack[FlowOptions]) -> None:
        self.declare(fn, options, FlowOptions)
        self.name = options.get("name") or name_of_function(fn).replace("_", "-")
        self.task_runner = options.get("task_runner")
        self.validates = options.get("validate_parameters", True)
        self.fail_on_unhandled = options.get("fail_on_unhandled", True)
        self.run_name = self.compiled_run_name(options.get("flow_run_name"))
        functools.update_wrapper(self, fn, updated=())
        known = known_flows.get(self.name)
        if known is None or known.fn is not fn:  # else this is a copy, which may soon be gone
            known_flows[self.name] = self

    # --- how it is called ------------------------------------------------------------------------

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> Any: ...
    @overload
    def __call__(self, *args: Any, wait_for: Any, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow.

        Takes the function's parameters, and ``wait_for=`` and ``return_state=``.

        Returns:
            What the body returned, with values in place of futures; with ``return_state=True``
            the final state; a coroutine of either if the flow is ``async``.

        Raises:
            ParameterTypeError: parameters are of the wrong type; nothing has run.
            UnhandledTaskFailure: tasks failed and nobody looked at them.
            Exception: what the body raised.
        """
        wait_for = kwargs.pop("wait_for", None)
        return_state = kwargs.pop("return_state", False)
        from dataflow.worker.call_context import current_scope

        scope = current_scope.get()
        if scope is not None and scope.graph.is_dry:
            from dataflow.execution.flow_runs.call_in_place import trace_only

            return trace_only(scope, "flow", self, args, kwargs, wait_for)

        return self._run(args, kwargs, wait_for, return_state)

    def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        return_state: bool,
        going_on: Resumption | None = None,
    ) -> Any:
        if self.kind.startswith("async"):
            from dataflow.execution.flow_runs.async_flow_run import run_flow_async

            return run_flow_async(self, args, kwargs, wait_for, return_state, going_on)
        from dataflow.execution.flow_runs.ending import failure_of, shortened
        from dataflow.execution.flow_runs.sync_flow_run import run_flow

        try:
            state = run_flow(self, args, kwargs, wait_for, going_on)
        except (DataflowError, KeyboardInterrupt) as error:  # no line of ours says anything
            raise shortened(error)  # noqa: B904
        if return_state or state.is_completed():
            return state if return_state else state.data
        raise failure_of(state)

    def resume(
        self,
        run: str,
        *,
        run_input: Any = None,
        reuse_changed: bool = False,
        return_state: bool = False,
    ) -> Any:
        """Let a run of this flow go on where it stopped.

        The body runs again with the parameters of the run, and its nodes line up with those of
        before. What was finished and persisted is not done again, unless its inputs or the code of
        its task have changed; a line of the log says how much that was, and why the rest was not.

        Args:
            run: the run's id, its name, or the beginning of its id.
            run_input: what is put in, if it was suspended and asks for that: a model, or what
                becomes JSON.
            reuse_changed: whether results count though the code of their task has changed.
            return_state: return the final state instead of the value.

        Raises:
            RunNotFound: no run goes by that, or several do.
            ResumeError: it is another flow's, has completed, or still runs; its parameters were not
                kept, or the flow does not take them any more; or it asks for something, and nothing
                was put in.
            Exception: as for a call.
        """
        from dataflow.execution.control.resuming import find_run_to_resume
        from dataflow.execution.control.run_input import as_json
        from dataflow.execution.flow_runs.parameters import given_again

        going_on = find_run_to_resume(self, run, reuse_changed, as_json(run_input))
        args, kwargs = given_again(self, going_on.summary)
        return self._run(args, kwargs, None, return_state, going_on)

    def submit(self, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Have the runner run this flow as a subflow on a worker; returns a future at once."""
        future: TaskFuture[Any] = self._as_task().submit(*args, **kwargs)
        return future

    def map(self, *args: Any, **kwargs: Any) -> FutureList[Any]:
        """Have the runner run this flow as a subflow for each element (see ``Task.map``)."""
        futures: FutureList[Any] = self._as_task().map(*args, **kwargs)
        return futures

    def _as_task(self) -> Any:
        from dataflow.tasks import Task

        made: Any = Task(_Subflow(self), name=self.name, tags=self.tags)
        return made

    # --- parameters ------------------------------------------------------------------------------

    def validated_parameters(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a call by name, defaults filled in, converted to their types.

        Raises:
            ParameterBindError: parameters are missing or unknown.
            ParameterTypeError: parameters are of the wrong type, each named.
        """
        if not self.signature.parameters and not args and not kwargs:
            return {}
        from dataflow.model.parameter_types import validate_parameters
        from dataflow.model.parameters import bind_parameters

        parameters = bind_parameters(f"flow {self.name!r}", self.signature, args, kwargs)
        if not self.validates:
            return parameters
        return validate_parameters(self.name, self.fn, self.signature, parameters)

    def call_arguments(self, parameters: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and named arguments that pass these parameters."""
        if not parameters:
            return (), {}
        from dataflow.model.parameters import call_arguments

        args, kwargs = call_arguments(self.signature, parameters)
        return tuple(args), kwargs

    @property
    def parameters_schema(self) -> dict[str, Any]:
        """The parameters as a JSON schema."""
        from dataflow.model.parameter_schema import parameters_schema

        return parameters_schema(self.fn)

    def render_run_name(self, parameters: dict[str, Any]) -> str | None:
        """The name of a run with these parameters; None: a random one."""
        if self.run_name is None:
            return None
        name: str = self.run_name.render(parameters)
        return name

    @property
    def code_path(self) -> str | None:
        """The file that the flow is written in."""
        try:
            return inspect.getsourcefile(inspect.unwrap(self.fn))
        except TypeError:
            return None

    # --- what it would do ------------------------------------------------------------------------

    def trace(self, *args: Any, **kwargs: Any) -> FlowGraph:
        """The graph of a run with these parameters; the body runs, the tasks do not.

        Raises:
            TraceError: the body needs the value of a task; the error has the graph so far.
        """
        from dataflow.tracing import trace_flow

        return trace_flow(self, args, kwargs)

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """What a run with these parameters would do, and why; nothing is run.

        The body is traced, and its graph played through on a clock of its own, with the planner of
        real runs and with what the tasks took in earlier runs in the store: in those of this flow,
        and of any other where it has none.

        Returns:
            Stages with their batches, priorities and reasons, the longest path, and the estimated
            makespan; ``str()`` of it is made to be read.

        Raises:
            TraceError: the body needs the value of a task.
        """
        from dataflow.tracing import plan_flow

        return plan_flow(self, args, kwargs)

    def visualize(self, *args: Any, **kwargs: Any) -> Drawing:
        """The graph of a run with these parameters, drawn.

        Returns:
            A drawing that notebooks show; ``str()`` of it is Mermaid text, ``.svg`` needs graphviz.
        """
        from dataflow.graph.mermaid import draw_graph

        return draw_graph(self.trace(*args, **kwargs))

    # --- how it is varied ------------------------------------------------------------------------

    def with_options(self, **options: Unpack[FlowOptions]) -> Flow[P, R]:
        """A copy of this flow with other options; this one stays as it is.

        Takes what :func:`flow` takes. Options that are not named keep their values.
        """
        return Flow(self.fn, **{**self.options(), **options})

    def state_to_send(self) -> dict[str, Any]:
        """What a worker needs; a runner object stays where it is.

        Hooks go along: those of a flow are called where it runs.
        """
        state = super().state_to_send()
        state["hooks"] = {
            kind: [_sendable(hook) for hook in self.hooks[kind]] for kind in self.hooks
        }
        if not isinstance(self.task_runner, str):
            state["task_runner"] = None
            state["_options"] = {**self._options, "task_runner": None}
        return state

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}{self.signature}>"


class _HookLeftBehind:
    """Stands in for a hook that cannot be pickled: the log says so when it should be called."""

    def __init__(self, name: str, why: str) -> None:
        self.__name__ = name
        self._why = why

    def __call__(self, *_args: Any) -> None:
        raise TransferError(f"it cannot be sent to the worker that its flow ran on: {self._why}")


def _sendable(hook: Hook) -> Hook:
    from dataflow.worker.pickling import dumps

    try:
        dumps(hook)
    except Exception as error:
        return _HookLeftBehind(getattr(hook, "__name__", repr(hook)), str(error))
    return hook


class _Subflow:
    """A flow as the function of a task: what ``flow.submit`` runs on a worker."""

    is_subflow = True

    def __init__(self, flow: Flow[Any, Any]) -> None:
        self.flow = flow
        self.__name__ = flow.name
        self.__signature__ = flow.signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found: Any = self.flow(*args, **kwargs)
        if self.flow.kind.startswith("async"):
            from dataflow.worker.async_calls import run_coroutine

            return run_coroutine(found)
        return found


@overload
def flow(fn: Callable[P, R], /, **options: Unpack[FlowOptions]) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow; with or without options.

    Args:
        fn: the function, where the decorator is used without options.
        name: what it is called (default: the function's name with dashes).
        description, version, tags: kept with its runs.
        flow_run_name: a template such as ``"load {day:%Y-%m}"``, or a callable.
        retries, retry_delay_seconds: how often, and after how long, the body is run again.
        timeout_seconds: how long the body may take; then the run fails.
        task_runner: ``"inline"``, ``"threads"``, ``"processes"``, ``"dask"`` or a runner object.
        validate_parameters: whether parameters are converted to the types of the signature.
        log_prints: whether prints become log lines.
        fail_on_unhandled: whether failed tasks that nobody looked at make the flow fail.
        on_running, on_completion, on_failure, on_cancellation, on_crashed: hooks
            ``hook(flow, flow_run, state)``.
        persist_result: whether its result, and those of tasks that say nothing, are kept.
        result_storage, result_serializer, cache_result_in_memory: where and how (see ``task``).

    Raises:
        DefinitionError: ``fn`` is no function, or an option cannot be used.
    """
    if fn is None:
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)
