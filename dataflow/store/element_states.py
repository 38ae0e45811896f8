"""What state each element is in, told from batches that may speak of the same elements.

An element is spoken of twice when it was retried, or lost and run again: the highest attempt
counts, and among equal attempts the batch that was written last. Most spans overlap with no other;
for those the counts that were stored with them are exact and no columns are read. Pure functions:
whoever calls them reads the columns.
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
    attempts: bytes | None


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
    attempts = bytearray(size)
    retried = False
    for piece in sorted(pieces, key=lambda each: each.batch):
        offset = piece.start - first
        if piece.attempts is None and not retried:
            stop = offset + len(piece.states)
            states[offset:stop] = piece.states
            attempts[offset:stop] = b"\x01" * len(piece.states)
            continue
        retried = True
        for position, code in enumerate(piece.states, offset):
            attempt = 1 if piece.attempts is None else piece.attempts[position - offset]
            if attempt >= attempts[position]:
                attempts[position] = attempt
                states[position] = code
    return first, states


class SettledCalls(NamedTuple):
    """The states of single calls by node, and the batch that told each.

    ``attempts`` has only those that are not the first.
    """

    codes: dict[int, int]
    batches: dict[int, int]
    attempts: dict[int, int]

    def piece(self, node: int) -> Piece:
        """What counts for one node."""
        attempts = bytes([self.attempts.get(node, 1)])
        return Piece(0, self.batches[node], bytes([self.codes[node]]), attempts)


def settle_calls(batches: Iterable[BatchStates]) -> SettledCalls:
    """The states of single calls; ``batches`` in the order of writing."""
    settled = SettledCalls({}, {}, {})
    codes, told_by, attempts = settled
    for batch in batches:
        assert batch.nodes is not None
        if batch.attempts is None and not attempts:
            codes.update(zip(batch.nodes, batch.states, strict=True))
            told_by.update(dict.fromkeys(batch.nodes, batch.batch))
            continue
        numbers = batch.attempts or b"\x01" * len(batch.states)
        for node, code, attempt in zip(batch.nodes, batch.states, numbers, strict=True):
            if attempt >= attempts.get(node, 1):
                codes[node] = code
                told_by[node] = batch.batch
                if attempt > 1:
                    attempts[node] = attempt
    return settled
