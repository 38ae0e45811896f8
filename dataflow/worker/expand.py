"""A batch's body, expanded into the stream of its calls.

The stream yields ``(function, args, kwargs)`` one at a time; it is advanced after the call before
has ended, so that an argument which is the value of an earlier call is there. A call that cannot be
made yields a function that raises.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Any

from dataflow.model.arguments import rebuild
from dataflow.model.batches import (
    WAITS,
    Batch,
    CallBody,
    Column,
    Const,
    Each,
    EachNested,
    EachPickled,
    Failed,
    Failure,
    Given,
    GivenEach,
    GivenList,
    GivenSpan,
    Hole,
    Items,
    Joined,
    MapBody,
    Nested,
    Slot,
    Source,
    Stage,
)
from dataflow.worker.lending import Snapshot, is_fixed, lender_of
from dataflow.worker.loading import load_pickle
from dataflow.worker.pickling import ATOMS
from dataflow.worker.sizes import LARGE_BYTES, nbytes_of
from dataflow.worker.stage_values import StageValues, Values

Function = Callable[..., Any]
Calls = Iterator[tuple[Function, Sequence[Any], dict[str, Any]]]
_NO_KWARGS: dict[str, Any] = {}
_LONGEST_CHAIN = 64
"""Stages: each is a level of indentation where they are written out, of 100 that there can be."""


class NotReady(Exception):
    """What a call needs has failed; ``position`` is the call of this batch that did, if it was."""

    def __init__(self, position: int | None) -> None:
        super().__init__(position)
        self.position = position


class Inputs:
    """Where sources are looked up: input columns, and the values of this batch so far.

    Args:
        columns: what other batches left.
        values: what the calls of this batch returned; snapshots where somebody got the value.
        failures: of the calls of this batch.
        name_of: the name of the task run at a position.
        lock: held while a part of the report is made.
        refuse: fails a call, by position, whose value cannot be pickled; None: values are never
            pickled, and calls share them.
    """

    def __init__(
        self,
        columns: list[Column],
        values: Values,
        failures: dict[int, Failure],
        name_of: Callable[[int], str],
        lock: threading.Lock,
        refuse: Callable[[int, Any, Exception], None] | None,
    ) -> None:
        self.columns = columns if refuse is None else list(map(lender_of, columns))
        self.lock = lock
        self.refuse = refuse
        self.values = values
        self.failures = failures
        self.name_of = name_of
        self.large: dict[int, int] = {}  # bytes of values that have been forgotten

    def find(self, source: Source, stage_start: int = 0) -> Any:
        """The value of a source that is the same for a whole call (not ``Each...``)."""
        if isinstance(source, Const):
            return source.value
        if isinstance(source, Slot):
            return self.slot(stage_start + source.number, source.allow_failure)
        if isinstance(source, Given):
            return self.columns[source.column].load(source.position)
        if isinstance(source, GivenList):
            return list(self.span(source.ranges))
        if isinstance(source, Nested):
            return self.fill(source.template, source.sources)
        if isinstance(source, Failed):
            return _exception(source.failure, source.skipped)
        raise TypeError(f"no single value: {source!r}")

    def forget(self, positions: Iterable[int]) -> None:
        """Let go of values; a part of the report that is being made may need them."""
        with self.lock:
            for position in positions:
                nbytes = nbytes_of(self.values[position])
                if nbytes >= LARGE_BYTES:
                    self.large[position] = nbytes
                self.values[position] = None

    def fill(self, template: Any, sources: Sequence[Source]) -> Any:
        """A container with a value in place of each hole."""
        return rebuild(template, (Hole,), lambda hole: self.find(sources[hole.number]))

    def span(self, ranges: Sequence[tuple[int, int, int]]) -> Iterable[Any]:
        """The values of ranges of columns, one after the other."""
        return chain.from_iterable(self._range(*piece) for piece in ranges)

    def _range(self, column: int, start: int, stop: int) -> Iterable[Any]:
        found = self.columns[column]
        if start == 0 and stop == found.count:
            return found.load_all()
        return [found.load(position) for position in range(start, stop)]

    def slot(self, position: int, allow_failure: bool, is_last: bool = False) -> Any:
        """The value of an earlier call of this batch; ``is_last``: nobody else ever needs it."""
        failure = self.failures.get(position)
        if failure is None:
            value = self.values[position]
            if type(value) in ATOMS or (is_last and type(value) is not Snapshot):
                return value
            return self.lend(position, value, allow_failure)
        if allow_failure:
            skipped = self.name_of(position) if failure.cause_position is not None else None
            return _exception(failure, skipped)
        raise NotReady(position)

    def lend(self, position: int, value: Any, allow_failure: bool = False) -> Any:
        """The value of an earlier call of this batch, for one of several readers."""
        if self.refuse is None or is_fixed(value):
            return value
        if type(value) is Snapshot:
            return value.load()
        try:
            snapshot = Snapshot(value)
        except Exception as error:
            self.refuse(position, value, error)
            return self.slot(position, allow_failure)
        with self.lock:
            self.values[position] = snapshot
        return value


def _exception(failure: Failure, skipped: str | None) -> BaseException:
    """What a task that allows a failure gets; ``skipped`` names a run that never began."""
    from dataflow.worker.failures import not_ready_error, revive

    return revive(failure) if skipped is None else not_ready_error(skipped, failure)


class Chain:
    """Fused stages of which each gets the value of the one before it and nothing else.

    Attributes:
        columns: for each argument of the first stage, what elements get; it may have more.
        elements: how many there are.
        functions: the calls of the stages.
        kept: for each stage, whether its values are wanted.
        width: how many stages there are.
    """

    def __init__(
        self, columns: list[Iterator[Any]], functions: list[Function], body: MapBody, inputs: Inputs
    ) -> None:
        self.columns = columns
        self.elements = len(body.indices)
        self.functions = functions
        self.kept = tuple(stage.keep for stage in body.stages)
        self.width = len(functions)
        self._inputs = inputs
        self._is_last = _is_last(body.stages)

    def call_after(self, position: int, number: int) -> tuple[Function, Sequence[Any], Any]:
        """The call of stage ``number``, which gets the value of the call at a position."""
        is_last = self._is_last[number - 1]
        return _following(self.functions[number], _NOTHING, self._inputs, position, is_last)

    def values_beside(self, ended: Sequence[int]) -> StageValues:
        """Where the values of the calls go, each before the time at which its call ended."""
        self._inputs.values = values = StageValues(self.kept, ended)
        return values


def expand(batch: Batch, invokers: list[Function], inputs: Inputs) -> Calls | Chain:
    """The calls of a batch.

    Args:
        batch: the batch.
        invokers: for each task of the batch the function that makes a call of it.
        inputs: where sources are looked up.
    """
    body = batch.body
    if isinstance(body, CallBody):
        return _expand_calls(body, invokers, inputs)
    if len(body.stages) == 1:
        return _expand_map(body, invokers[body.stages[0].task], inputs)
    return _expand_stages(batch, body, invokers, inputs)


def _expand_calls(body: CallBody, invokers: list[Function], inputs: Inputs) -> Calls:
    arguments = body.arguments
    if (
        not any(body.links)
        and not body.last_uses
        and not any(type(pair) is bytes for pair in arguments)
    ):
        functions = map(invokers.__getitem__, body.tasks)
        return zip(
            functions, map(itemgetter(0), arguments), map(itemgetter(1), arguments), strict=True
        )
    return _expand_linked(body, invokers, inputs)


def _expand_linked(body: CallBody, invokers: list[Function], inputs: Inputs) -> Calls:
    done_with: dict[int, list[int]] = {}
    for source, last in body.last_uses.items():
        done_with.setdefault(last, []).append(source)
    rows = zip(body.tasks, body.arguments, body.links, strict=True)
    for position, (number, pair, links) in enumerate(rows):
        try:
            args, kwargs = load_pickle(pair) if type(pair) is bytes else pair
            if links:
                args, kwargs = _link(args, kwargs, links, inputs, position, body.last_uses)
        except Exception as error:
            yield _raiser(error), (), _NO_KWARGS
        else:
            yield invokers[number], args, kwargs
        if position in done_with:
            args = kwargs = None
            inputs.forget(done_with[position])


def _link(
    args: Any, kwargs: Any, links: Any, inputs: Inputs, position: int, last_uses: dict[int, int]
) -> tuple[Any, Any]:
    args, kwargs = list(args), dict(kwargs)
    found: dict[Any, Any] = {}  # what a call gets twice is one object
    for where, source in links:
        if where is None:
            args, kwargs = inputs.fill((args, kwargs), source)
            continue
        if where == WAITS:
            for slot in source:
                inputs.find(slot)
            continue
        value = found.get(source) if type(source) in _PLAIN else None
        if value is None:
            value = _linked(source, inputs, position, last_uses)
            if type(source) in _PLAIN and len(links) > 1:
                found[source] = value
        if type(where) is int:
            args[where] = value
        else:
            kwargs[where] = value
    return args, kwargs


_PLAIN = (int, tuple)


def _linked(source: Any, inputs: Inputs, position: int, last_uses: dict[int, int]) -> Any:
    """The value of a source, which may be a plain one (see ``CallBody``)."""
    if type(source) is int:
        return inputs.slot(source, False, last_uses.get(source) == position)
    if type(source) is tuple:
        column, at = source
        return inputs.columns[column].load(at)
    return inputs.find(source)


def _raiser(error: Exception) -> Function:
    def fail() -> None:
        raise error

    return fail


def _expand_map(body: MapBody, invoke: Function, inputs: Inputs) -> Calls:
    stage = body.stages[0]
    count = len(body.indices)
    try:
        columns = [_each(source, body.indices, inputs) for source in stage.args]
        named = {name: _each(source, body.indices, inputs) for name, source in stage.kwargs.items()}
    except Exception as error:  # an input could not be loaded: every element fails with that
        return zip(repeat(_raiser(error), count), repeat(()), repeat(_NO_KWARGS), strict=False)
    args: Iterable[Any] = zip(*columns, strict=False) if columns else repeat(())
    kwargs: Iterable[dict[str, Any]] = repeat(_NO_KWARGS)
    if named:
        kwargs = (dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=False))
    return zip(repeat(invoke, count), args, kwargs, strict=False)


def _each(source: Source, indices: Sequence[int], inputs: Inputs) -> Iterable[Any]:
    """The values of a source, one an element."""
    if isinstance(source, Each):
        return source.values
    if isinstance(source, EachPickled):
        values = chain.from_iterable(load_pickle(chunk) for chunk in source.chunks)
        return islice(values, source.offset, None)
    if isinstance(source, GivenEach):
        return map(inputs.find, source.sources)
    if isinstance(source, GivenSpan):
        return inputs.span(source.ranges)
    if isinstance(source, Items):
        items = inputs.columns[source.column].load(source.position)
        if not hasattr(items, "__getitem__"):
            items = list(items)
        if type(items).__module__.startswith("pandas."):
            items = items.array
        return (items[index] for index in indices)
    if isinstance(source, EachNested):
        return map(inputs.fill, source.values, source.sources)
    if isinstance(source, Joined):
        return _joined(source, indices, inputs)
    return repeat(inputs.find(source))


def _joined(source: Joined, indices: Sequence[int], inputs: Inputs) -> Iterator[Any]:
    start = 0
    for part, count in source.parts:
        yield from islice(_each(part, indices[start : start + count], inputs), count)
        start += count


def _expand_stages(
    batch: Batch, body: MapBody, invokers: list[Function], inputs: Inputs
) -> Calls | Chain:
    """Fused stages, element by element, so that no more than one element's values are held."""
    stages = [
        (invokers[stage.task], _constants(number, stage, inputs), *_streams(stage, body, inputs))
        for number, stage in enumerate(body.stages)
    ]
    is_last = _is_last(body.stages)
    first, *rest = stages
    columns = first[2]
    if not _come_in_turn(body.stages[0], columns):
        return _expand_rows(body, None, stages, inputs, is_last)
    is_plain = len(stages) <= _LONGEST_CHAIN and batch.early_seconds >= batch.budget_seconds
    if is_plain and body.stages[-1].keep and all(each[1] == _NOTHING for each in rest):
        return Chain(columns, [function for function, *_ in stages], body, inputs)
    calls = zip(repeat(first[0]), zip(*columns, strict=False), repeat(_NO_KWARGS), strict=False)
    return _expand_rows(body, calls, rest, inputs, is_last)


def _expand_rows(
    body: MapBody,
    first_calls: Calls | None,
    stages: list[Any],
    inputs: Inputs,
    is_last: list[bool],
) -> Calls:
    values, failures = inputs.values, inputs.failures
    width = len(body.stages)
    dropped = [number for number, stage in enumerate(body.stages) if not stage.keep]
    for start in range(0, body.calls, width):
        if start:
            for number in dropped:
                values[start - width + number] = None
        if first_calls is not None:
            yield next(first_calls)
        for function, constants, args, kwargs in stages:
            if constants is not None:
                value, at = values[-1], len(values) - 1
                if type(value) in ATOMS and at not in failures:
                    before, after, named = constants
                    yield function, (*before, value, *after), named
                else:
                    yield _following(function, constants, inputs, at, is_last[at - start])
                continue
            row, named_row = _Row(start, inputs, is_last), _Row(start, inputs, is_last)
            row_values = list(map(row.pull, args))
            named = dict(zip(kwargs, map(named_row.pull, kwargs.values()), strict=True))
            error = row.error or named_row.error
            if error is None:
                yield function, row_values, named
            else:
                yield _raiser(error), (), _NO_KWARGS


_NOTHING: Any = ((), (), {})


def _is_last(stages: Sequence[Stage]) -> list[bool]:
    """For each stage whether its values have a single reader, who may have them as they are."""
    readers = _readers(stages)
    return [readers[number] + stage.keep == 1 for number, stage in enumerate(stages)]


def _readers(stages: Sequence[Stage]) -> Counter[int]:
    """How many arguments of later stages take the value of each."""
    sources = (each for stage in stages for each in (*stage.args, *stage.kwargs.values()))
    return Counter(each.number for each in sources if isinstance(each, Slot))


def _come_in_turn(stage: Stage, args: list[Any]) -> bool:
    """Whether all arguments of the first stage come one after the other from columns."""
    plain = all(isinstance(each, (Const, Each, EachPickled, GivenSpan)) for each in stage.args)
    return plain and not stage.kwargs and not any(isinstance(each, _Broken) for each in args)


def _constants(number: int, stage: Stage, inputs: Inputs) -> Any:
    """What a stage gets beside the value of the stage before it, where that is all that changes.

    Returns:
        Arguments before it, arguments after it, named ones; None: it is not such a stage.
    """
    follows = Slot(number - 1)
    if number == 0 or list(stage.args).count(follows) != 1:
        return None
    others = [source for source in (*stage.args, *stage.kwargs.values()) if source != follows]
    if not all(isinstance(source, (Const, Given)) for source in others):
        return None
    at = stage.args.index(follows)
    try:
        before, after = (
            tuple(map(inputs.find, part)) for part in (stage.args[:at], stage.args[at + 1 :])
        )
        return before, after, {name: inputs.find(each) for name, each in stage.kwargs.items()}
    except Exception:
        return None  # a value that cannot be loaded: each call says so


def _following(
    function: Function, constants: Any, inputs: Inputs, at: int, is_last: bool
) -> tuple[Function, Sequence[Any], dict[str, Any]]:
    """The call of a stage that gets the value of the call before it, at a position."""
    before, after, named = constants
    try:
        value = inputs.slot(at, False, is_last)
    except NotReady as error:
        return _raiser(error), (), _NO_KWARGS
    return function, (*before, value, *after), named


def _streams(stage: Stage, body: MapBody, inputs: Inputs) -> tuple[Any, Any]:
    def stream(source: Source) -> Any:
        if isinstance(source, Slot):
            return source
        try:
            return iter(_each(source, body.indices, inputs))
        except Exception as error:
            return _Broken(error)

    args = [stream(source) for source in stage.args]
    return args, {name: stream(source) for name, source in stage.kwargs.items()}


class _Broken:
    """An input that could not be loaded."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Row:
    """The arguments of one call: every stream moves on by one, also when one of them fails."""

    def __init__(self, start: int, inputs: Inputs, is_last: list[bool]) -> None:
        self.start = start
        self.inputs = inputs
        self.is_last = is_last
        self.error: Exception | None = None

    def pull(self, stream: Any) -> Any:
        """The next value of a stream; the first error is kept, not raised."""
        try:
            if type(stream) is Slot:
                number = stream.number
                is_last = self.is_last[number]
                return self.inputs.slot(self.start + number, stream.allow_failure, is_last)
            if type(stream) is _Broken:
                raise stream.error
            return next(stream)
        except Exception as error:
            self.error = self.error or error
            return None
