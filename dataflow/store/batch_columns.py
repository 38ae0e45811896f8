"""Batch records as rows: the columns as they are, plus *spans* that say what is where.

The columns of a batch are stored as the bytes they come in: nothing is done for each call but
counting its state, and that in C. A span covers what one batch says of one map (or, under the node
``SINGLE_CALLS``, of single calls), with the number of calls in each state, so that counting and
finding an element read no columns. Times are 64-bit little-endian integers.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgpack

from dataflow.model.records import SINGLE_CALLS, BatchRecord
from dataflow.model.states import codes_of_stage, count_states


class Span(NamedTuple):
    """``[start, stop)`` of a node, found in a batch, with packed counts by state code."""

    node: int
    start: int
    stop: int
    batch: int
    counts: bytes


def batch_row(record: BatchRecord) -> tuple[Any, ...]:
    """The columns of a record's row, after its number and the key of its run."""
    stages = None if record.stages is None else array("q", record.stages).tobytes()
    return (
        stages,
        record.start,
        record.calls,
        record.worker,
        record.clock_offset_ns,
        record.first_started_ns,
        record.states,
        record.attempts,
        record.nodes,
        record.started,
        record.ended,
    )


def spans_of(record: BatchRecord) -> Iterator[tuple[int, int, int, bytes]]:
    """Node, start, stop and counts of the spans of a record."""
    if record.stages is None:
        nodes = array("q", record.nodes or b"")
        yield SINGLE_CALLS, min(nodes), max(nodes) + 1, pack_counts(record.states)
        return
    width = len(record.stages)
    for position, node in enumerate(record.stages):
        states = codes_of_stage(record.states, position, width)
        if states:
            yield node, record.start, record.start + len(states), pack_counts(states)


def pack_counts(states: bytes) -> bytes:
    """The counts of some states, packed."""
    packed: bytes = msgpack.packb(count_states(states))
    return packed


@lru_cache(maxsize=4096)
def unpack_counts(packed: bytes) -> Mapping[int, int]:
    """Counts by state code; not to be changed, as it may be shared."""
    counts: dict[int, int] = msgpack.unpackb(packed, strict_map_key=False)
    return counts


@dataclass(frozen=True, slots=True)
class BatchStates:
    """What the calls of one batch came to, without attempts and times."""

    batch: int
    stages: tuple[int, ...] | None
    nodes: array[int] | None
    states: bytes

    def states_of(self, node: int) -> bytes:
        """The states of the elements of one map."""
        assert self.stages is not None
        width = len(self.stages)
        return codes_of_stage(self.states, self.stages.index(node), width)


@dataclass(frozen=True, slots=True)
class BatchCalls(BatchStates):
    """The calls of one batch, whole."""

    attempts: bytes | None
    start: int
    worker: str
    clock_offset_ns: int
    first_started_ns: int
    started: bytes | None
    ended: bytes

    def position_of(self, node: int, index: int) -> int | None:
        """Where the call of an element is, or None if it is not in this batch."""
        if self.stages is None:
            if self.nodes is None or index or node not in self.nodes:
                return None
            return self.nodes.index(node)
        if node not in self.stages:
            return None
        position = (index - self.start) * len(self.stages) + self.stages.index(node)
        return position if 0 <= position < len(self.states) else None

    def attempt_at(self, position: int) -> int:
        """Which attempt the call is."""
        return 1 if self.attempts is None else self.attempts[position]

    def started_at(self, position: int) -> int:
        """When the call started, in nanoseconds since the epoch."""
        if self.started is not None:
            return _at(self.started, position) + self.clock_offset_ns
        if position == 0:
            return self.first_started_ns + self.clock_offset_ns
        return self.ended_at(position - 1)

    def ended_at(self, position: int) -> int:
        """When the call ended, in nanoseconds since the epoch."""
        return _at(self.ended, position) + self.clock_offset_ns

    def times(self) -> tuple[array[int], array[int]]:
        """When each call started and ended, both without the clock's offset."""
        ended = array("q", self.ended)
        if self.started is not None:
            return array("q", self.started), ended
        started = array("q", (self.first_started_ns,))
        started.extend(ended[:-1])
        return started, ended


def _at(column: bytes, position: int) -> int:
    value: int = struct.unpack_from("<q", column, position * 8)[0]
    return value


def read_states(row: tuple[Any, ...]) -> BatchStates:
    """The states of a batch from ``batch, stages, nodes, states``."""
    batch, stages, nodes, states = row
    return BatchStates(batch, _stages(stages), _nodes(nodes), states)


def read_calls(row: tuple[Any, ...]) -> BatchCalls:
    """A batch from its row: as for :func:`read_states`, then attempts, start, worker and times."""
    batch, stages, nodes, states, *rest = row
    return BatchCalls(batch, _stages(stages), _nodes(nodes), states, *rest)


def _stages(packed: bytes | None) -> tuple[int, ...] | None:
    return None if packed is None else tuple(array("q", packed))


def _nodes(packed: bytes | None) -> array[int] | None:
    return None if packed is None else array("q", packed)
