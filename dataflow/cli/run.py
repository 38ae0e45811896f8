"""``dataflow run``: run a flow from a file or a module."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from dataflow import events
from dataflow.cli import FAILED, INTERRUPTED, MISUSE
from dataflow.cli.complaints import Misuse, complain
from dataflow.cli.flow_files import load_flow
from dataflow.cli.output import echo_json
from dataflow.errors import DataflowError, ParameterTypeError
from dataflow.flows import Flow
from dataflow.model.states import State
from dataflow.settings import get_settings


@click.command
@click.argument("target", metavar="FILE.py[:FLOW] | MODULE:FLOW")
@click.option(
    "-p",
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter: JSON or text.",
)
@click.option("--runner", help="Who runs the tasks: inline, threads, processes, dask, dask:NAME.")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be run; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print how it ended, or the plan, as JSON.")
def run(
    target: str, given: tuple[str, ...], runner: str | None, plan_only: bool, as_json: bool
) -> int:
    """Run a flow and show its progress.

    \b
      dataflow run etl.py                         the only flow in the file, or its main one
      dataflow run etl.py:load -p limit=10        the flow called load
      dataflow run my.flows:load --runner dask    a flow of a module

    Exits with 0 if the flow completed, 1 if it did not, 2 if it could not be begun as it was asked
    for, 130 after Ctrl-C.
    """
    with prints_on_stderr(as_json):
        flow = prepare_flow(target, runner)
        if flow is None:
            return MISUSE
        args, kwargs = flow.call_arguments(read_parameters(flow, given))
        flow = flow.with_options(validate_parameters=False)  # they have been
        if plan_only:
            plan = flow.plan(*args, **kwargs)
        else:
            status, run_id, state = run_and_tell(lambda: flow(*args, return_state=True, **kwargs))
    if plan_only:
        if as_json:
            echo_json(asdict(plan))
        else:
            click.echo(str(plan))
        return 0
    if as_json:
        echo_json(outcome_of(run_id, state))
    return status


def prepare_flow(target: str, runner: str | None) -> Flow[Any, Any] | None:
    """The flow with its runner; None if the user's file does not load, which has been told."""
    try:
        chosen = runner or get_settings().runner
        flow = load_flow(target, travels=":" in chosen)
    except DataflowError:
        raise
    except (Exception, SystemExit) as error:
        _tell_unloadable(target, error)
        return None
    if runner is not None:
        from dataflow.execution.runner_choice import choose_runner

        choose_runner(runner)  # an unknown one is misuse, not a failed run
        return flow.with_options(task_runner=runner)
    return flow


def _tell_unloadable(target: str, error: BaseException) -> None:
    from dataflow.display.failures import user_traceback

    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    complain(Misuse(f"{target} could not be loaded: {what}"))
    click.echo("\n".join(f"  {line}" for line in user_traceback(error)), err=True)


def read_parameters(flow: Flow[Any, Any], given: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of ``name=value`` texts, converted: from JSON, or the text where that fits.

    Raises:
        Misuse: a text is no ``name=value``, or a name comes twice.
        ParameterBindError: parameters are missing or unknown.
        ParameterTypeError: values are of the wrong type.
    """
    from dataflow.model.parameter_text import parse_parameter

    texts: dict[str, str] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name.strip():
            raise Misuse(f"{each!r} is no parameter.", hint="Write -p name=value.")
        if name.strip() in texts:
            raise Misuse(f"The parameter {name.strip()!r} was given twice.")
        texts[name.strip()] = text
    parameters = {name: parse_parameter(text) for name, text in texts.items()}
    try:
        return flow.validated_parameters((), parameters)
    except ParameterTypeError as error:
        bad = {str(each["field"]).partition(".")[0] for each in error.fields["errors"]}
        as_texts = {name: texts[name] for name in bad & set(texts)}
        try:
            return flow.validated_parameters((), {**parameters, **as_texts})
        except ParameterTypeError:
            raise error from None


def run_and_tell(call: Callable[[], Any]) -> tuple[int, str | None, State[Any] | None]:
    """Call a flow and tell what went wrong; the exit status, and the run's id and state.

    ``call`` returns its state, or a coroutine of that.
    """
    from dataflow.display.progress import show_progress

    started: list[events.RunStarted] = []

    def remember(event: events.Event) -> None:
        if isinstance(event, events.RunStarted) and event.parent_run_id is None:
            started.append(event)

    unsubscribe = events.subscribe(remember)
    state: State[Any] | None = None
    try:
        with show_progress(for_command=True):
            state = _state_of(call())
    except KeyboardInterrupt:
        more = f" What was done: dataflow runs show {started[0].run_name}" if started else ""
        click.echo(f"Cancelled by Ctrl-C.{more}", err=True)
    finally:
        unsubscribe()
    run_id = started[0].run_id if started else None
    if state is None:
        return INTERRUPTED, run_id, None
    if state.is_completed():
        return 0, run_id, state
    if state.is_paused():
        name = started[0].run_name if started else "RUN"
        click.echo(f"{state.name}: {state.message}\nLet it go on: dataflow runs resume {name}")
        return 0, run_id, state
    if run_id is not None:
        from dataflow.display.failures import print_failure

        print_failure(run_id, state)
    return FAILED, run_id, state


def _state_of(found: Any) -> State[Any]:
    """The state that a call of a flow returned, or that its coroutine will return."""
    if inspect.iscoroutine(found):
        import asyncio

        found = asyncio.run(found)
    state: State[Any] = found
    return state


def outcome_of(run_id: str | None, state: State[Any] | None) -> dict[str, Any]:
    """How a run ended, with what the flow returned."""
    from dataflow.cli.output import run_as_dict
    from dataflow.records import get_run

    outcome = run_as_dict(get_run(run_id)) if run_id is not None else {}
    if state is not None and state.is_completed():
        outcome["result"] = state.data
    return outcome


@contextlib.contextmanager
def prints_on_stderr(wanted: bool) -> Iterator[None]:
    """What the flow and its worker processes print goes to standard error: the rest is JSON."""
    try:
        standard = sys.stdout.fileno() if wanted else -1
    except (OSError, ValueError):  # no file stands behind it
        standard = -1
    if standard < 0:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(standard)
    os.dup2(2, standard)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, standard)
        os.close(kept)
