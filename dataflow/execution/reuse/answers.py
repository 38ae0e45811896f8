"""A question, whether some calls need be made, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataflow.model.states import StateCode

if TYPE_CHECKING:
    from dataflow.graph.nodes import MapNode, TaskNode
    from dataflow.model.batches import Batch, Failure
    from dataflow.storage.stored_column import StoredColumn
    from dataflow.store.stored_results import ResultPlace

LEASE_NS = 30_000_000_000


@dataclass(eq=False)
class Question:
    """Some calls of one task that can begin: elements of a map, or single calls.

    Attributes:
        batch: the calls as a worker would get them.
        node, elements: the map and its elements; None and nothing for single calls.
        nodes: the single calls.
    """

    graph: Any
    batch: Batch
    node: MapNode | None = None
    elements: Sequence[int] = ()
    nodes: Sequence[TaskNode] = ()

    @property
    def count(self) -> int:
        """How many calls."""
        return len(self.nodes) or len(self.elements)


@dataclass(eq=False)
class Answer:
    """What there is of the calls of a question, by position.

    Attributes:
        places: where the result of a call is; None: it has to be made.
        is_own: whether that is recorded as what this very call came to before, in this run.
        codes: the state of a call whose result there is.
        failures: of calls that cannot have a key.
        column: the results that there are; ``numbers[p]`` is where that of call ``p`` is in it.
        digests: by which a resumed run finds these results again.
        held: calls that wait, because another run is about to make them.
        restated: those of them that have been made again since, and did not complete.
        leased: the keys of calls that this run makes while others wait for them, by position.
    """

    question: Question
    places: list[ResultPlace | None]
    is_own: bytearray
    codes: bytearray
    failures: dict[int, Failure] = field(default_factory=dict)
    column: StoredColumn | None = None
    numbers: Sequence[int] = ()
    digests: list[bytes] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    restated: set[int] = field(default_factory=set)
    leased: dict[int, bytes] = field(default_factory=dict)


def nothing_of(question: Question) -> Answer:
    """The answer that nothing is there; what is found later is Cached."""
    count = question.count
    codes = bytearray((StateCode.CACHED,)) * count
    return Answer(question, [None] * count, bytearray(count), codes)
