"""A bare call of an ``async`` task: as in ``call_in_place``, on the event loop that is running."""

from __future__ import annotations

import asyncio
from typing import Any

from dataflow.execution.flow_runs.call_in_place import Call, trace_only
from dataflow.execution.scope import active_scope
from dataflow.graph.references import find_refs
from dataflow.worker.async_calls import AsyncBatchCarrier
from dataflow.worker.columns import as_objects


async def call_task_async(
    task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
) -> Any:
    """Call an ``async`` task; as :func:`call_task`, on the running event loop."""
    scope = active_scope()
    if scope.graph.is_dry:
        return trace_only(scope, "call", task, args, kwargs, wait_for)
    call = (
        await asyncio.to_thread(Call, scope, task, args, kwargs, wait_for)
        if _must_wait(args, kwargs, wait_for)
        else Call(scope, task, args, kwargs, wait_for)
    )
    if call.error is None:
        await _carry_out(call)
    return call.outcome(return_state)


def _must_wait(args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> bool:
    refs = [*find_refs((args, kwargs)), *find_refs(wait_for)]
    return any(not ref.node.ended(ref.element) for ref in refs)


async def _carry_out(call: Call) -> None:
    """Make the call, again after each delay while it is to be retried."""
    try:
        if call.looks_up and await asyncio.to_thread(call.look_up):
            return
        while True:
            call.begin()
            carrier = AsyncBatchCarrier(call.batch, as_objects, call.log)
            report = await carrier.carry_out_here()
            if not report.states:  # it was cancelled, and says no more than that
                raise asyncio.CancelledError
            delay = call.take(report)
            if delay is None:
                break
            await asyncio.sleep(delay)
        if call.is_keyed:
            await asyncio.to_thread(call.scope.loop.writer.write_now, [])
    except BaseException as error:
        call.interrupted(error)
        raise
