"""Flows: functions whose calls of tasks are traced into a graph, planned, run and recorded."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from dataflow.errors import DefinitionError
from dataflow.model.declared import Declared, Hook, refuse_unknown_options
from dataflow.model.functions import described, name_of_function
from dataflow.model.retry_policy import Delays, RetryPolicy, make_retry_policy

if TYPE_CHECKING:
    from dataflow.futures import FutureList, TaskFuture
    from dataflow.graph.flow_graph import FlowGraph
    from dataflow.graph.mermaid import Drawing
    from dataflow.planner.plan import Plan

P = ParamSpec("P")
R = TypeVar("R")
_HOOKS = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
_LATER = ("persist_result", "result_storage", "result_serializer", "cache_result_in_memory")


class Flow(Declared, Generic[P, R]):
    """A function with the options of a flow; made by :func:`flow`, never changed afterwards.

    Attributes:
        fn: the function itself.
        name, description, version, tags: what it is called, and what it is for.
        task_runner: who carries out its tasks (None: its caller's runner, or the settings').
        retry_policy: how often its body is run again.
        timeout_seconds: how long the body may take.
        fail_on_unhandled: whether failed tasks that nobody looked at make it fail.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: Iterable[str] | None = None,
        flow_run_name: str | Callable[..., str] | None = None,
        retries: int | None = None,
        retry_delay_seconds: Delays = None,
        timeout_seconds: float | None = None,
        task_runner: Any = None,
        validate_parameters: bool = True,
        log_prints: bool | None = None,
        fail_on_unhandled: bool = True,
        on_running: Iterable[Hook] | None = None,
        on_completion: Iterable[Hook] | None = None,
        on_failure: Iterable[Hook] | None = None,
        on_cancellation: Iterable[Hook] | None = None,
        on_crashed: Iterable[Hook] | None = None,
        **later: Any,
    ) -> None:
        refuse_unknown_options("flow", later, _LATER)
        given = (on_running, on_completion, on_failure, on_cancellation, on_crashed)
        self.declare(fn, "flow", dict(zip(_HOOKS, given, strict=True)))
        self.name = name or name_of_function(fn).replace("_", "-")
        self.description = described(fn, description)
        self.version = version
        self.tags = tuple(sorted(set(tags or ())))
        self.flow_run_name = flow_run_name
        self.retry_policy: RetryPolicy = make_retry_policy(retries, retry_delay_seconds)
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise DefinitionError(f"timeout_seconds must be more than 0, not {timeout_seconds!r}.")
        self.timeout_seconds = timeout_seconds
        self.task_runner = task_runner
        self.validates = validate_parameters
        self.log_prints = log_prints
        self.fail_on_unhandled = fail_on_unhandled
        self._retry_options = {"retries": retries, "retry_delay_seconds": retry_delay_seconds}
        self._later = {name: value for name, value in later.items() if value is not None}
        self._run_name = self._compile_run_name()
        functools.update_wrapper(self, fn, updated=())

    def _compile_run_name(self) -> Any:
        if self.flow_run_name is None:
            return None
        from dataflow.model.run_names import compile_run_name

        return compile_run_name(self.flow_run_name, self.signature, f"flow {self.name!r}")

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
        from dataflow.execution.flow_run import run_flow
        from dataflow.worker.call_context import current_scope

        scope = current_scope.get()
        if scope is not None and scope.graph.is_dry:
            from dataflow.execution.call_in_place import trace_only

            return trace_only(scope, "flow", self, args, kwargs, wait_for)

        if self.kind.startswith("async"):
            from dataflow.execution.async_flow_run import run_flow_async

            return run_flow_async(self, args, kwargs, wait_for, return_state)
        return run_flow(self, args, kwargs, wait_for, return_state)

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
        if self._run_name is None:
            return None
        name: str = self._run_name.render(parameters)
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
        """What the planner would make of a run with these parameters; nothing is run."""
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

    def with_options(self, **options: Any) -> Flow[P, R]:
        """A copy of this flow with other options; this one stays as it is."""
        return Flow(self.fn, **{**self.options(), **options})

    def options(self) -> dict[str, Any]:
        """The options that would make this flow again."""
        return {
            "name": self.name,
            "description": self.description,
            "version": self.version,
            "tags": self.tags,
            "flow_run_name": self.flow_run_name,
            "timeout_seconds": self.timeout_seconds,
            "task_runner": self.task_runner,
            "validate_parameters": self.validates,
            "log_prints": self.log_prints,
            "fail_on_unhandled": self.fail_on_unhandled,
            **self._retry_options,
            **self.hooks,
            **self._later,
        }

    def on_cancellation(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run was cancelled."""
        return self.add_hook("on_cancellation", hook)

    def on_crashed(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run has crashed."""
        return self.add_hook("on_crashed", hook)

    def state_to_send(self) -> dict[str, Any]:
        """What a worker needs; a runner object stays where it is."""
        state = super().state_to_send()
        if not isinstance(self.task_runner, str):
            state["task_runner"] = None
        return state

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}{self.signature}>"


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
def flow(fn: Callable[P, R], /, **options: Any) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    tags: Iterable[str] | None = None,
    flow_run_name: str | Callable[..., str] | None = None,
    retries: int | None = None,
    retry_delay_seconds: Delays = None,
    timeout_seconds: float | None = None,
    task_runner: Any = None,
    validate_parameters: bool = True,
    log_prints: bool | None = None,
    fail_on_unhandled: bool = True,
    on_running: Iterable[Hook] | None = None,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    on_cancellation: Iterable[Hook] | None = None,
    on_crashed: Iterable[Hook] | None = None,
    **later: Any,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
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

    Raises:
        DefinitionError: ``fn`` is no function, or an option cannot be used.
    """
    if fn is None:
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)
