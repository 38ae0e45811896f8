"""The parameters of a run: kept when it begins, given again when it goes on.

A run goes on with what it was given, or not at all. The store has its parameters as JSON, for
people; what JSON does not give back as it was is kept beside the results. Where results are not
kept, the types that the flow declares may make of JSON what was given.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from dataflow.errors import ParameterBindError, ParameterTypeError, ResultMissing, ResumeError
from dataflow.execution.reuse.run_results import RunResults
from dataflow.model.arguments import ATOMS
from dataflow.model.parameter_text import (
    CUT,
    not_as_given,
    parameters_to_json,
    short_text,
    shown_parameters,
)
from dataflow.storage.result_storage import open_storage
from dataflow.store.summaries import RunSummary
from dataflow.worker import pickling

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def keep_parameters(results: RunResults, run_id: str, parameters: Mapping[str, Any]) -> None:
    """Keep the parameters of a run that JSON does not take, so that it can be resumed."""
    is_plain = all(type(value) in ATOMS for value in parameters.values())
    if is_plain and not not_as_given(parameters_to_json(parameters)):
        return
    try:
        data = pickling.dumps(dict(parameters))
    except Exception:  # a client, a lock: the body asks for them when it is resumed
        return
    open_storage(results.keep_of(results.options).storage).write(_name(run_id), [data])


def given_again(flow: Any, run: RunSummary) -> Arguments:
    """The arguments that a run was given, for the flow as it is now.

    Raises:
        ResumeError: they were not kept as they were, or the flow does not take them.
    """
    kept = _kept(flow, run)
    parameters = run.parameters if kept is None else kept
    args, kwargs = flow.call_arguments(parameters)
    known = flow.signature.parameters
    kwargs |= {name: value for name, value in parameters.items() if name not in known}
    try:
        found = flow.validated_parameters(args, kwargs)
    except (ParameterBindError, ParameterTypeError) as error:
        raise ResumeError(
            f"Run {run.name!r} cannot go on with its parameters, {short_text(parameters)}, as the "
            f"flow {flow.name!r} is now. {error.message}",
            hint="Have the flow take them as before, or call it to begin another run.",
            run_id=run.run_id,
        ) from error
    if kept is None:
        _refuse_others(run, found)
    return args, kwargs


def _kept(flow: Any, run: RunSummary) -> dict[str, Any] | None:
    """The parameters that were kept beside the results, if they were."""
    results = RunResults().within(flow.results, True)
    if not results.persists_by_itself:
        return None
    try:
        data = open_storage(results.keep_of(flow.results).storage).read(_name(run.run_id))
    except ResultMissing:
        return None
    try:
        found: dict[str, Any] = pickle.loads(data)
    except Exception as error:  # their classes are gone, or raise whatever they like
        raise ResumeError(
            f"The parameters of run {run.name!r} cannot be read: {type(error).__name__}: {error}.",
            hint="Have their classes be where they were, or call the flow to begin another run.",
            run_id=run.run_id,
        ) from error
    return found


def _refuse_others(run: RunSummary, found: Mapping[str, Any]) -> None:
    """See that the flow made of JSON what the run was given."""
    before = not_as_given(run.parameters_json)
    if not before:
        return
    now = parameters_to_json(found)
    again, shown = not_as_given(now), shown_parameters(now)
    others = [
        name
        for name, how in before.items()
        if how == CUT or again.get(name) != how or shown[name] != run.parameters[name]
    ]
    if others:
        raise ResumeError(
            f"Run {run.name!r} cannot go on with the parameters that it was given: of "
            f"{', '.join(map(repr, others))} there is only what the store shows, "
            f"{short_text({each: run.parameters[each] for each in others})}.",
            hint="Call the flow to begin another run. With @flow(persist_result=True), parameters "
            "that can be pickled are kept.",
            run_id=run.run_id,
        )


def _name(run_id: str) -> str:
    return f"{run_id}/parameters"
