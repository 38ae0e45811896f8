"""One result that is in a storage, or that nobody kept: read when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataflow.errors import ResultMissing
from dataflow.model.records import FLOW_RESULT
from dataflow.model.states import Deferred, State, cached_message
from dataflow.storage.stored_column import PackPlace, open_pack

if TYPE_CHECKING:
    from dataflow.store.run_store import RunStore
    from dataflow.store.summaries import ElementDetail


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


def with_result(element: ElementDetail, store: RunStore) -> ElementDetail:
    """An element whose state reads its result from where it was persisted."""
    state = element.state
    if not state.is_completed():
        return element
    place = store.result_at(element.run_id, element.node, element.index)
    message = state.message
    kept: Any = ResultNotKept(f"task run {element.name!r}")
    if place is not None:
        kept = stored_result(place)
        if state.name == "Cached":
            message = message or cached_message(kept.run_id)
    with_data: State[Any] = State(state.type, state.name, message, kept, state.timestamp)
    return replace(element, state=with_data)


def flow_result(run_id: str, name: str, state: State[Any], store: RunStore) -> State[Any]:
    """A state of a flow run of that name, which reads its result from where it was persisted."""
    if not state.is_completed():
        return state
    place = store.result_at(run_id, FLOW_RESULT)
    kept = ResultNotKept(f"flow run {name!r}") if place is None else stored_result(place)
    return State(state.type, state.name, state.message, kept, state.timestamp)
