"""One result that is in a storage, or that nobody kept: read when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflow.errors import ResultMissing
from dataflow.model.states import Deferred
from dataflow.storage.stored_column import PackPlace, open_pack


@dataclass(frozen=True, slots=True)
class StoredResult(Deferred):
    """Where a result is.

    Attributes:
        storage, name, number: in which storage, in which object, and at which place there.
        serializer: what made bytes of it.
        run_id: the run that made it.
    """

    storage: str
    name: str
    serializer: str
    number: int
    run_id: str

    def load(self) -> Any:
        """The result.

        Raises:
            ResultMissing: it is not there any more, or damaged.
            StorageError: the storage cannot be read.
        """
        return open_pack(PackPlace(self.storage, self.name, self.run_id)).load(self.number)


def stored_result(place: tuple[Any, int]) -> StoredResult:
    """The result at a place, as stores tell it."""
    (storage, name, serializer, run_id), number = place
    return StoredResult(storage, name, serializer, number, run_id)


@dataclass(frozen=True, slots=True)
class ResultNotKept(Deferred):
    """A result that was not persisted; ``owner`` says whose."""

    owner: str

    def load(self) -> Any:
        """Raises.

        Raises:
            ResultMissing: always.
        """
        raise ResultMissing(
            f"The result of {self.owner} was not persisted.",
            hint="persist_result=True, on the task or the flow, keeps results.",
        )
