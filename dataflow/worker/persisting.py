"""The results of a batch are persisted by the worker that made them, before it reports.

So nothing that is announced can be lost. The results of a report share one object where they can;
with each goes the hash of what the call got, by which a later run knows that it would do the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from dataflow.errors import SerializationError, StorageError
from dataflow.model.batches import MapBody, ResultPack, TaskLike
from dataflow.model.states import StateCode
from dataflow.worker import failures as failing
from dataflow.worker.call_context import current_call
from dataflow.worker.lending import opened

if TYPE_CHECKING:
    from dataflow.worker.expand import Function

_GOOD = frozenset((StateCode.COMPLETED, StateCode.CACHED, StateCode.SKIPPED))
_NO_DIGEST = bytes(16)


class Persister:
    """Persists the results of one batch.

    Attributes:
        drops_values: whether these do not stay in memory, but are read again when they are needed.
    """

    def __init__(self, outcomes: Any) -> None:
        self.outcomes = outcomes
        self.keeps = outcomes.batch.keeps
        keeps = [self.keeps.get(number) for number in range(len(outcomes.batch.tasks))]
        self.drops_values = all(keep is not None and not keep.in_memory for keep in keeps)
        self._digests: dict[int, bytes] = {}
        self._names: dict[int, str] = {}

    def noting(self, function: Function, number: int, task: TaskLike) -> Function:
        """The function, noting before each call what it is given."""
        keep = self.keeps.get(number)
        if keep is None:
            return function
        digests, hasher = self._digests, keep.hasher(task)

        def call(*args: Any, **kwargs: Any) -> Any:
            context = current_call.get()
            assert context is not None
            position = context.position
            if position not in digests:  # a retry gets what the first attempt got
                digests[position] = hasher.digest_or_none(args, kwargs)
                if keep.key is not None:
                    self._names[position] = self._name(keep, args, kwargs)
            return function(*args, **kwargs)

        return call

    def _name(self, keep: Any, args: Any, kwargs: Any) -> str:
        from dataflow.worker.task_run import TaskRun

        context = current_call.get()
        assert context is not None
        context.args, context.kwargs = args, kwargs
        task_run = TaskRun.here(context)
        name: str = keep.render_key(context.run, task_run, task_run.parameters)
        return name

    def persist(self, calls: Sequence[int]) -> list[ResultPack]:
        """Write the results of calls that ended well; where that fails, so does the call."""
        packs: list[ResultPack] = []
        groups: dict[Any, tuple[Any, list[Sequence[int]]]] = {}
        for keep, positions in self._by_task(calls):
            if keep.key is not None:
                for position in positions:
                    packs += self._write(keep, [position], self._names.get(position))
            else:
                groups.setdefault(keep.group, (keep, []))[1].append(positions)
        for keep, several in groups.values():
            joined = several[0] if len(several) == 1 else list(chain.from_iterable(several))
            packs += self._write(keep, joined, None)
        return packs

    def _by_task(self, calls: Sequence[int]) -> Iterable[tuple[Any, Sequence[int]]]:
        """The calls of each task whose results are kept, those that ended well."""
        outcomes = self.outcomes
        body = outcomes.batch.body
        codes = outcomes.codes
        each: list[tuple[int, Sequence[int]]]
        if isinstance(body, MapBody):
            width = len(body.stages)
            each = [
                (stage.task, _every(calls, number, width))
                for number, stage in enumerate(body.stages)
            ]
        else:
            by_task: dict[int, list[int]] = {}
            for position in calls:
                by_task.setdefault(body.tasks[position], []).append(position)
            each = list(by_task.items())
        for number, positions in each:
            keep = self.keeps.get(number)
            if keep is None:
                continue
            if codes:
                positions = [at for at in positions if codes.get(at, 6) in _GOOD]
            if positions:
                yield keep, positions

    def _write(self, keep: Any, calls: Sequence[int], name: str | None) -> list[ResultPack]:
        outcomes = self.outcomes
        values = outcomes.values
        taken = (
            values[calls.start : calls.stop : calls.step]
            if isinstance(calls, range)
            else [values[at] for at in calls]
        )
        try:
            taken = list(map(opened, taken))
            name, nbytes = keep.write(outcomes.batch.run.run_id, taken, name)
        except StorageError as error:
            failure = failing.describe(error)
            for position in calls:
                self._fail(position, failure)
            return []
        except Exception as error:
            return self._write_others(keep, calls, taken, name, error)
        digests = b"".join([self._digests.pop(at, _NO_DIGEST) for at in calls])
        storage, serializer = keep.group
        return [ResultPack(storage, name, serializer, calls, digests, nbytes)]

    def _write_others(
        self, keep: Any, calls: Sequence[int], values: list[Any], name: str | None, error: Exception
    ) -> list[ResultPack]:
        """Fail the calls whose results cannot be serialized, and write those of the others."""
        fine = []
        for position, value in zip(calls, values, strict=True):
            try:
                keep.serializer.dump_parts(value)
            except Exception as found:
                what = f"The result of task run {self.outcomes.name_of(position)!r}"
                refused = refused_result(what, keep.serializer, found)
                self._fail(position, failing.describe(refused))
            else:
                fine.append(position)
        if len(fine) == len(calls):  # each by itself, but not all of them together
            failure = failing.describe(error)
            for position in calls:
                self._fail(position, failure)
            return []
        return self._write(keep, fine, name) if fine else []

    def _fail(self, position: int, failure: Any) -> None:
        outcomes = self.outcomes
        name = outcomes.name_of(position)
        outcomes.codes[position] = StateCode.FAILED
        outcomes.failures[position] = replace(failure, source=name)

    def stored(self, packs: Sequence[ResultPack], positions: Sequence[int]) -> Any:
        """A column of persisted results instead of one of values."""
        places = {
            position: (number, at)
            for number, pack in enumerate(packs)
            for at, position in enumerate(pack.calls)
        }
        if not places:
            return None
        found = [places.get(position, (0, -1)) for position in positions]
        objects = [(pack.storage, pack.name) for pack in packs]
        nbytes = sum(pack.nbytes for pack in packs)
        keep = next(iter(self.keeps.values()))
        which, numbers = [number for number, _ in found], [at for _, at in found]
        return keep.column(objects, which, numbers, nbytes)


def _every(calls: Sequence[int], number: int, width: int) -> Sequence[int]:
    """Those of some calls that are of one stage."""
    if isinstance(calls, range):
        return range(calls.start + (number - calls.start) % width, calls.stop, width)
    return [at for at in calls if at % width == number]


def refused_result(what: str, serializer: Any, error: Exception) -> SerializationError:
    """The error that tells that a serializer does not take a value."""
    found = SerializationError(
        f"{what} cannot be persisted: the serializer {serializer.full_name!r} does not take it "
        f"({type(error).__name__}: {error}).",
        hint="Return something else, or use another result_serializer, such as 'pickle'.",
    )
    found.__cause__ = error
    return found
