"""What becomes of the results of one run's tasks: kept or not, where, and under which keys.

The options of a task come before those of its flow, those before the flow that called it, and the
settings come last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dataflow.errors import StorageError
from dataflow.model.result_options import NOTHING_SAID, ResultOptions
from dataflow.settings import get_settings


@dataclass
class TaskResults:
    """What becomes of the results of one task.

    Attributes:
        keep: where and how they are kept.
        options: what else was said of them.
    """

    task: Any
    keep: Any
    options: ResultOptions

    @cached_property
    def source(self) -> bytes:
        """The hash of the task's source."""
        from dataflow.hashing.values import source_of

        return source_of(self.task.fn)

    def expires_ns(self, now_ns: int) -> int | None:
        """Until when a result that is made now may be taken."""
        seconds = self.options.expiration_seconds
        return None if seconds is None else now_ns + int(seconds * 1e9)


@dataclass(eq=False)
class RunResults:
    """What becomes of the results of one run.

    Attributes:
        options: what the flow says.
        shares_objects: whether its tasks run in this process.
        earlier: what an earlier attempt at this run, or an earlier process, left; None: nothing.
        persists: whether any task has been seen whose results are kept.
        leased: by cache key, the calls that other runs may be waiting for.
        has_leased: whether there were any.
    """

    options: ResultOptions = NOTHING_SAID
    shares_objects: bool = True
    earlier: Any = None
    persists: bool = False
    leased: dict[bytes, Any] = field(default_factory=dict)
    has_leased: bool = False
    _known: dict[int, tuple[Any, TaskResults | None]] = field(default_factory=dict)
    _keys: dict[int, bytearray] = field(default_factory=dict)

    def within(self, options: ResultOptions, shares_objects: bool) -> RunResults:
        """Those of a flow that is called in this run."""
        mine = self.options
        said = replace(
            options,
            persist=mine.persist if options.persist is None else options.persist,
            storage=options.storage or mine.storage,
            serializer=options.serializer or mine.serializer,
            in_memory=mine.in_memory if options.in_memory is None else options.in_memory,
        )
        return RunResults(said, shares_objects)

    def of(self, task: Any) -> TaskResults | None:
        """What becomes of the results of a task; None: they are not kept.

        Raises:
            DefinitionError: an option cannot be used.
            MissingExtra: a library for its storage is not there.
            StorageError: its storage cannot be written.
        """
        known = self._known.get(id(task))
        if known is None:
            known = self._known[id(task)] = task, self._decide(task)
            self.persists = self.persists or known[1] is not None
        return known[1]

    @cached_property
    def persists_by_itself(self) -> bool:
        """Whether the flow's own result is kept, and those of tasks that say nothing."""
        persist = self.options.persist
        return get_settings().results_persist_by_default if persist is None else persist

    def looks_up(self, task: Any) -> bool:
        """Whether calls of a task wait until it is known what earlier results there are.

        (Where earlier results are not taken, their keys are made nevertheless.)
        """
        if not self.persists:
            return False
        found = self.of(task)
        if found is None:
            return False
        return found.options.policy is not None or self.earlier is not None

    def _decide(self, task: Any) -> TaskResults | None:
        said: ResultOptions = getattr(task, "results", NOTHING_SAID)
        persist = self.persists_by_itself if said.persist is None else said.persist
        if not persist:
            return None
        return TaskResults(task, self.keep_of(said), said)

    def keep_of(self, said: ResultOptions) -> Any:
        """Where and how results are kept of which this was said."""
        from dataflow.storage.keeping import Keep
        from dataflow.storage.result_storage import open_storage, storage_url
        from dataflow.storage.serializers import find_serializer

        mine = self.options
        in_memory = mine.in_memory if said.in_memory is None else said.in_memory
        name = said.serializer or mine.serializer or get_settings().results_serializer
        url = storage_url(said.storage or mine.storage)
        storage = open_storage(url)
        if not (storage.is_shared or self.shares_objects):
            raise StorageError(
                f"The result storage {storage.shown!r} is in the memory of one process, and this "
                "flow's tasks run in others.",
                hint="Use a folder, or task_runner='threads'.",
                url=storage.shown,
            )
        _check_once(storage)
        return Keep(url, find_serializer(name), said.storage_key, in_memory is not False)

    # --- cache keys ------------------------------------------------------------------------------

    def put_keys(self, node: int, length: int, first: int, keys: bytes) -> None:
        """Note the cache keys of elements ``first`` and on of a node of that length."""
        found = self._keys.get(node)
        if found is None:
            found = self._keys[node] = bytearray(16 * length)
        found[16 * first : 16 * first + len(keys)] = keys

    def keys_of(self, node: int, elements: Any) -> bytes:
        """The cache keys of some elements of a node; nothing if it has none."""
        found = self._keys.get(node)
        if found is None:
            return b""
        if isinstance(elements, range) and elements.step == 1:
            return bytes(found[16 * elements.start : 16 * elements.stop])
        return b"".join([found[16 * at : 16 * at + 16] for at in elements])


_checked: set[str] = set()


def _check_once(storage: Any) -> None:
    if storage.url not in _checked:
        storage.check()
        _checked.add(storage.url)
