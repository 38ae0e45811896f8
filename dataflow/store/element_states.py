"""What state each element is in, told from batches that may speak of the same elements.

An element is spoken of twice when it was retried, lost and run again, or rolled back, or when its
run went on: the batch that was written last counts (attempts begin at 1 again when a run goes on).
Most spans overlap with no other; for those the counts that were stored with them are exact and no
columns are read. Pure functions: whoever calls them reads the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dataflow.store.batch_columns import BatchStates, Span

UNRECORDED = 255
"""Stands where no batch has spoken of an element yet."""


class Piece(NamedTuple):
    """What one batch says of consecutive elements of one node."""

    start: int
    batch: int
    states: bytes


def overlapping(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Groups of spans of one node, sorted by start, such that groups do not overlap."""
    group: list[Span] = []
    stop = -1
    for span in spans:
        if span.start >= stop and group:
            yield group
            group = []
        group.append(span)
        stop = max(stop, span.stop)
    if group:
        yield group


def settle(pieces: Sequence[Piece]) -> tuple[int, bytearray]:
    """The index of the first element, and the state of each from there on."""
    first = min(piece.start for piece in pieces)
    size = max(piece.start + len(piece.states) for piece in pieces) - first
    states = bytearray([UNRECORDED]) * size
    for piece in sorted(pieces, key=lambda each: each.batch):
        offset = piece.start - first
        states[offset : offset + len(piece.states)] = piece.states
    return first, states


class SettledCalls(NamedTuple):
    """The states of single calls by node, and the batch that told each."""

    codes: dict[int, int]
    batches: dict[int, int]

    def piece(self, node: int) -> Piece:
        """What counts for one node."""
        return Piece(0, self.batches[node], bytes([self.codes[node]]))


def settle_calls(batches: Iterable[BatchStates]) -> SettledCalls:
    """The states of single calls; ``batches`` in the order of writing."""
    settled = SettledCalls({}, {})
    for batch in batches:
        assert batch.nodes is not None
        settled.codes.update(zip(batch.nodes, batch.states, strict=True))
        settled.batches.update(dict.fromkeys(batch.nodes, batch.batch))
    return settled
