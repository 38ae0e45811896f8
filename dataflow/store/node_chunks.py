"""Nodes of a run, packed: some thousands in one row, as columns.

A flow that submits 100,000 tasks has 100,000 nodes; a row each would cost more than the tasks. A
column whose values are all alike is kept as one value. A chunk either adds nodes or changes some
that are there (a length that became known); chunks are applied in the order of writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, repeat
from typing import Any

import msgpack

from dataflow.model.records import NodeLengthRecord, NodeRecord

CHUNK_NODES = 4096
"""Nodes in a chunk: few rows in a large flow, and one node is found without reading all."""

FIELDS = NodeRecord._fields[1:]
"""All but the run, which the row has."""
_LENGTH = FIELDS.index("length")
_CHILD = FIELDS.index("child_run_id")

NodeFields = tuple[Any, ...]
"""The values of ``FIELDS`` for one node."""


def chunk_nodes(
    records: Iterable[NodeRecord | NodeLengthRecord],
) -> Iterator[tuple[str, int, int, bytes]]:
    """Run id, lowest node, highest node and packed columns of each chunk, in order."""
    for (run_id, kind), group in groupby(records, key=lambda each: (each.run_id, type(each))):
        all_records = list(group)
        for start in range(0, len(all_records), CHUNK_NODES):
            some = all_records[start : start + CHUNK_NODES]
            if kind is NodeRecord:
                columns = list(zip(*some, strict=True))[1:]
            else:
                changes = ((each.node, each.length, each.child_run_id) for each in some)
                columns = list(zip(*changes, strict=True))
            yield run_id, min(columns[0]), max(columns[0]), _pack(columns)


def _pack(columns: Sequence[tuple[Any, ...]]) -> bytes:
    nodes, *others = columns
    shrunk = [each[:1] if each.count(each[0]) == len(each) else each for each in others]
    packed: bytes = msgpack.packb([nodes, *shrunk], unicode_errors="surrogatepass")
    return packed


def apply_chunks(chunks: Iterable[bytes]) -> dict[int, NodeFields]:
    """The nodes that some chunks, in the order of writing, lead to."""
    nodes: dict[int, NodeFields] = {}
    for chunk in chunks:
        columns = msgpack.unpackb(chunk, use_list=False, unicode_errors="surrogatepass")
        numbers, *others = columns
        spread = [each if len(each) > 1 else repeat(each[0], len(numbers)) for each in others]
        if len(columns) == len(FIELDS):
            nodes.update(zip(numbers, zip(numbers, *spread, strict=True), strict=True))
        else:
            _change(nodes, zip(numbers, *spread, strict=True))
    return nodes


def _change(nodes: dict[int, NodeFields], changes: Iterable[tuple[Any, ...]]) -> None:
    for node, length, child_run_id in changes:
        fields = nodes.get(node)
        if fields is None:
            continue
        changed = list(fields)
        if length is not None:
            changed[_LENGTH] = length
        if child_run_id is not None:
            changed[_CHILD] = child_run_id
        nodes[node] = tuple(changed)
