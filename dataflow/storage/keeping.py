"""What becomes of the results of a task: where and how they are kept. It travels with batches."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.errors import DefinitionError
from dataflow.storage.packs import pack_values
from dataflow.storage.result_storage import open_storage
from dataflow.storage.serializers import Serializer
from dataflow.storage.stored_column import PackPlace, StoredColumn


@dataclass(frozen=True, slots=True)
class Keep:
    """Where and how results are kept.

    Attributes:
        storage: the URL of the storage.
        serializer: what makes bytes of them.
        key: a template of the name of each result's own object; None: they share objects.
        in_memory: whether they stay in memory as well.
    """

    storage: str
    serializer: Serializer
    key: str | None = None
    in_memory: bool = True

    @property
    def group(self) -> tuple[str, str]:
        """Results with the same may share an object."""
        return self.storage, self.serializer.full_name

    def hasher(self, task: Any) -> Any:
        """What hashes the calls of a task."""
        from dataflow.hashing.calls import CallHasher

        return CallHasher(task)

    def write(self, run_id: str, values: Sequence[Any], name: str | None = None) -> tuple[str, int]:
        """Write values into one new object, before anybody is told of them.

        Returns:
            The name of the object, and how many bytes it has.

        Raises:
            CannotSerialize: the serializer does not take one of them.
            StorageError: they cannot be written.
        """
        parts = pack_values(values, self.serializer)
        name = name or f"{run_id}/{os.urandom(8).hex()}"
        open_storage(self.storage).write(name, parts)
        return name, sum(memoryview(part).nbytes for part in parts)

    def render_key(self, flow_run: Any, task_run: Any, parameters: dict[str, Any]) -> str:
        """The name of a result's own object.

        Raises:
            DefinitionError: the template asks for what is not there, or leads out of the storage.
        """
        assert self.key is not None
        try:
            name = self.key.format(flow_run=flow_run, task_run=task_run, parameters=parameters)
        except Exception as error:
            raise DefinitionError(
                f"The result_storage_key {self.key!r} could not be filled in: "
                f"{type(error).__name__}: {error}.",
                hint="It may use {parameters[x]}, {flow_run.name} and {task_run.name}.",
            ) from error
        steps = name.split("/")
        if not name or ".." in steps or "" in steps:
            raise DefinitionError(f"The result_storage_key {name!r} is no name within a storage.")
        return name

    def column(
        self,
        objects: Sequence[tuple[str, str]],
        which: Sequence[int],
        numbers: Sequence[int],
        nbytes: int,
    ) -> StoredColumn:
        """A column of results that are in objects ``(storage, name)``."""
        places = [PackPlace(*each) for each in objects]
        several = array("i", which) if len(places) > 1 else None
        return StoredColumn(places, several, array("q", numbers), nbytes)
