"""What is kept of a flow whose results are: its parameters as it begins, what it returned."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dataflow.clock import now_ns
from dataflow.errors import DataflowError
from dataflow.execution.flow_runs.parameters import keep_parameters
from dataflow.execution.reuse.run_results import RunResults
from dataflow.execution.scope import RunScope
from dataflow.hashing.calls import CallHasher
from dataflow.hashing.values import source_of
from dataflow.model.records import FLOW_RESULT, ResultRecord
from dataflow.storage.packs import CannotSerialize


def prepare_results(
    results: RunResults, run_id: str, parameters: Mapping[str, Any], is_new: bool
) -> DataflowError | None:
    """See that results can be kept, before the body runs, and keep what it is resumed with.

    Returns:
        Why that cannot be done.
    """
    try:
        results.keep_of(results.options)
        if is_new:
            keep_parameters(results, run_id, parameters)
    except DataflowError as error:
        return error
    return None


def keep_result(scope: RunScope, flow: Any, parameters: dict[str, Any], value: Any) -> None:
    """Keep what the flow returned; that it cannot be kept harms nothing else."""
    run_id, results = scope.info.run_id, scope.graph.results
    try:
        keep = results.keep_of(results.options)
        name, _ = keep.write(run_id, [value])
    except Exception as error:
        what = "What the flow returned"
        text = f"{what} was not persisted: {type(error).__name__}: {error}"
        if isinstance(error, CannotSerialize):
            from dataflow.worker.persisting import refused_result

            text = str(refused_result(what, keep.serializer, error.error))
        scope.say(logging.ERROR, text)
        return
    storage, serializer = keep.group
    one = range(1)
    record = ResultRecord(
        run_id,
        FLOW_RESULT,
        one,
        one,
        storage,
        name,
        serializer,
        now_ns(),
        source=source_of(flow.fn),
        digests=parameters_digest(flow, parameters),
    )
    scope.loop.writer.write([record], [])


def parameters_digest(flow: Any, parameters: dict[str, Any]) -> bytes:
    """Which parameters these are, as far as they can be hashed."""
    return CallHasher(flow).digest_or_none((), parameters)
