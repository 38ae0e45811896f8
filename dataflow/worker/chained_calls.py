"""The loop over fused stages: a map over a map over a map, where each gets what the last one gave.

It does what :meth:`BatchCarrier.make_calls` does in much less time: no stream has to be asked
between the stages of an element, and a call leaves nothing but its value and the time at which it
ended (``call_times``). An element in which anything is not ordinary (a failure, a state as a
result, a value that can change and so must not be shared) goes on call by call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataflow.clock import ticks_ns
from dataflow.model.states import State
from dataflow.worker.call_times import CallTimes
from dataflow.worker.expand import Chain
from dataflow.worker.pickling import ATOMS

_NO_KWARGS: dict[str, Any] = {}


def make_chained_calls(carrier: Any, chain: Chain) -> None:
    """Make the calls of one element after the other, until the budget is spent."""
    context, deadline, atoms = carrier.context, carrier.deadline, ATOMS
    keep, read_clock = carrier.values.append, ticks_ns
    carrier.ended = times = CallTimes(carrier.board, carrier.lock)
    first, *rest = chain.functions
    width = chain.width
    base = at = 0
    context.kwargs, context.width = _NO_KWARGS, width
    try:
        for base, window, rows in times.windows(chain.rows, width):
            at = 0
            for args in rows:
                context.args = args
                try:
                    value = first(*args)
                    for function in rest:
                        if value.__class__ not in atoms:
                            break
                        keep(value)
                        window[at] = read_clock()
                        at += 1
                        value = function(value)
                    else:
                        if value.__class__ is not State:
                            keep(value)
                            window[at] = now = read_clock()
                            at += 1
                            if now > deadline and carrier.may_stop(base + at):
                                return
                            continue
                except (Exception, SystemExit) as error:
                    value = carrier.recover(
                        base + at, error, _call(carrier, chain, at % width, args)
                    )
                at = _go_on(carrier, chain, base + at, value, args) - base
                if times[-1] > deadline and carrier.may_stop(base + at):
                    return
    except Exception as error:  # the rows themselves: arguments that cannot be unpickled
        carrier.fail_rest(base + at, error)


def _call(carrier: Any, chain: Chain, number: int, args: Sequence[Any]) -> tuple[Any, ...]:
    """The call of a stage, of an element for which every value so far was ordinary."""
    return chain.functions[number], (carrier.values[-1],) if number else args, _NO_KWARGS


def _go_on(carrier: Any, chain: Chain, position: int, value: Any, args: Sequence[Any]) -> int:
    """Take the value of the call that has just ended, and make the rest of an element's calls.

    Returns:
        The position of the next element's first call.
    """
    context, width = carrier.context, chain.width
    number = position % width
    start = position - number
    if isinstance(value, State):
        value = carrier.take_state(position, value, _call(carrier, chain, number, args))
    context.width = 1  # what calls get is set call by call
    carrier.take_value(value)
    for following in range(number + 1, width):
        carrier.make_call(*chain.call_after(start + following - 1, following))
    context.kwargs, context.width = _NO_KWARGS, width
    chain.forget(start)
    return start + width
