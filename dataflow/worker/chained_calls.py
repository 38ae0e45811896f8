"""The loop over fused stages: a map over a map over a map, where each gets what the last one gave.

It does what :meth:`BatchCarrier.make_calls` does in much less time: no stream has to be asked
between the stages of an element, and a call leaves nothing but its value and the time at which it
ended (``call_times``). An element in which anything is not ordinary (a failure, a state as a
result, a value that can change and so must not be shared) goes on call by call.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from inspect import currentframe
from types import FrameType
from typing import Any

from dataflow.clock import ticks_ns
from dataflow.model.states import State
from dataflow.worker.call_context import FindArgs
from dataflow.worker.call_times import CallTimes
from dataflow.worker.expand import Chain
from dataflow.worker.pickling import ATOMS

_NO_KWARGS: dict[str, Any] = {}
_LOOP = """
def make(carrier, chain, times):
    context, deadline, may_stop = carrier.context, carrier.deadline, carrier.may_stop
    read_clock, atoms = ticks_ns, ATOMS
    context.find_args = args_in(currentframe(), {width}, {arity})
    {keeps}, = carrier.values.keeps
    {functions}, = chain.functions
    {kinds} = None  # of values that are most likely of this class again
    for base, ({ends},), rows in times.windows(chain.columns, chain.elements, {width}):
        for at, {arguments} in rows:
            try:
                value = value_0 = call_0({arguments})
                {rest}
            except (Exception, SystemExit) as error:
                value = recover(carrier, chain, error)
            go_on(carrier, chain, value)
            value = {values} = None
            if times[-1] > deadline and may_stop(len(times)):
                return
"""
_FOLLOWING = """
if value.__class__ is kind_{before} or (
    value.__class__ in atoms and (kind_{before} := value.__class__)
):
    {keep}ends_{before}[at] = read_clock()
    value = value_{number} = call_{number}(value)
    {rest}
"""
_LAST = """
if value.__class__ is not State:
    keep_{number}(value)
    ends_{number}[at] = now = read_clock()
    if now > deadline and may_stop(base + {width} * (at + 1)):
        return
    continue
"""


def make_chained_calls(carrier: Any, chain: Chain) -> None:
    """Make the calls of one element after the other, until the budget is spent."""
    context = carrier.context
    carrier.ended = times = CallTimes(carrier.board, carrier.lock)
    carrier.values = context.done = chain.values_beside(times)
    context.kwargs = _NO_KWARGS
    make = _loop(len(chain.columns), chain.kept)
    try:
        make(carrier, chain, times)
    except Exception as error:  # the columns themselves: arguments that cannot be unpickled
        carrier.fail_rest(len(times), error)
    finally:
        context.find_args = None  # it holds the loop's variables, which hold the context


@cache
def _loop(arity: int, kept: tuple[bool, ...]) -> Callable[..., None]:
    """The loop for some stages, of which the first takes so many arguments, written out.

    Each stage has lines of its own, so that the interpreter learns what is called there and enters
    it without a call in C (PEP 659): a third less time than one loop around all stages takes.
    """
    width = len(kept)
    body = _LAST.format(number=width - 1, width=width)
    for number in reversed(range(1, width)):
        before = number - 1
        keep = f"keep_{before}(value); " if kept[before] else ""
        body = _within(_FOLLOWING, body, number=number, before=before, keep=keep)
    source = _within(
        _LOOP,
        body,
        width=width,
        arity=arity,
        keeps=", ".join(_names("keep", width)),
        functions=", ".join(_names("call", width)),
        kinds=" = ".join(_names("kind", width)),
        ends=", ".join(_names("ends", width)),
        values=" = ".join(_names("value", width)),
        arguments=", ".join(_names("arg", arity)),
    )
    made: dict[str, Any] = {
        "ATOMS": ATOMS,
        "State": State,
        "args_in": _args_in,
        "currentframe": currentframe,
        "go_on": _go_on,
        "recover": _recover,
        "ticks_ns": ticks_ns,
    }
    place = os.path.join(os.path.dirname(__file__), f"<a chain of {width} stages>")
    exec(compile(source, place, "exec"), made)  # as namedtuple does: no text of a user's is in it
    found: Callable[..., None] = made["make"]
    return found


def _names(name: str, count: int) -> list[str]:
    return [f"{name}_{number}" for number in range(count)]


def _within(text: str, rest: str, **values: Any) -> str:
    """A text with another one in it, as far to the right as its place is."""
    lines = []
    for line in text.strip("\n").split("\n"):
        if line.strip() == "{rest}":
            margin = line[: line.index("{")]
            lines += [margin + each for each in rest.strip("\n").split("\n")]
        else:
            lines.append(line.format(**values))
    return "\n".join(lines)


def _args_in(loop: FrameType, width: int, arity: int) -> FindArgs:
    """What calls get is found among the variables of the loop: it need not be written down."""

    def find(position: int) -> tuple[Any, ...]:
        number, variables = position % width, loop.f_locals
        names = [f"value_{number - 1}"] if number else _names("arg", arity)
        return tuple(variables[name] for name in names)

    return find


def _recover(carrier: Any, chain: Chain, error: BaseException) -> Any:
    """The call under way failed: its value, if it has one after all."""
    position = len(carrier.ended)
    return carrier.recover(position, error, _call(carrier, chain, position))


def _call(carrier: Any, chain: Chain, position: int) -> tuple[Any, ...]:
    """The call under way, of an element for which every value so far was ordinary."""
    args = carrier.context.find_args(position)
    return chain.functions[position % chain.width], args, _NO_KWARGS


def _go_on(carrier: Any, chain: Chain, value: Any) -> None:
    """Take the value of the call that has just ended, and make the rest of an element's calls."""
    context, width = carrier.context, chain.width
    position = len(carrier.ended)
    number = position % width
    start = position - number
    if isinstance(value, State):
        value = carrier.take_state(position, value, _call(carrier, chain, position))
    find_args, context.find_args = context.find_args, None  # what these calls get is written down
    carrier.take_value(value)
    for following in range(number + 1, width):
        carrier.make_call(*chain.call_after(start + following - 1, following))
    context.kwargs, context.find_args = _NO_KWARGS, find_args
    carrier.values.forget_element()
