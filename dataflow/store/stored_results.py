"""Where results are kept, as rows: which elements an object has, and where in it they are."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dataflow.model.records import ResultRecord

DIGEST_BYTES = 16


class ResultObject(NamedTuple):
    """An object of a storage that has results; ``run_id`` is the run that made them."""

    storage: str
    name: str
    serializer: str
    run_id: str


ResultPlace = tuple[ResultObject, int]
"""Where one result is: in which object, and at which place in it."""


class ResultsSummary(NamedTuple):
    """What one object has of one node (-1: of single calls; -2: of the flow itself).

    Attributes:
        elements: which elements (or single calls) these are, in ascending order.
        numbers: where in the object each is.
        made_by: the run that made them, where it is another one.
        created_ns: when they were recorded.
        source: the hash of the task's source.
        digests: 16 bytes for each: the hash of what its call was given (zeros: it has none).
    """

    node: int
    elements: Sequence[int]
    numbers: Sequence[int]
    storage: str
    name: str
    serializer: str
    made_by: str | None
    created_ns: int
    source: bytes
    digests: bytes

    def object_of(self, run_id: str) -> ResultObject:
        """The object; ``run_id`` is the run whose row this is."""
        return ResultObject(self.storage, self.name, self.serializer, self.made_by or run_id)

    def digest(self, at: int) -> bytes:
        """The hash of what a call was given, by its place in ``elements``."""
        return self.digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]


def result_row(record: ResultRecord) -> tuple[Any, ...]:
    """The columns of a record's row, after its number and the key of its run."""
    elements, numbers = record.elements, record.numbers
    in_a_row = isinstance(elements, range) and elements.step == 1
    counted = isinstance(numbers, range) and numbers.step == 1
    return (
        record.node,
        min(elements),
        max(elements) + 1,
        numbers[0],
        record.storage,
        record.name,
        record.serializer,
        record.made_by,
        record.created_ns,
        record.source or None,
        None if in_a_row else array("q", elements).tobytes(),
        None if counted else array("q", numbers).tobytes(),
        record.digests or None,
    )


def key_rows(
    record: ResultRecord, result: int, run: int
) -> Iterator[tuple[bytes, int, int, int, int | None]]:
    """The rows of a record's cache keys; those that are zeros lead nowhere."""
    for key, number in zip(keys_in(record.cache_keys), record.numbers, strict=True):
        if any(key):
            yield key, run, result, number, record.expires_ns


def keys_in(joined: bytes) -> Iterator[bytes]:
    """The keys that stand one after the other."""
    for at in range(0, len(joined), DIGEST_BYTES):
        yield joined[at : at + DIGEST_BYTES]


def read_results(row: tuple[Any, ...]) -> ResultsSummary:
    """A row as it was read."""
    (node, start, stop, first, storage, name, serializer, made_by) = row[:8]
    created_ns, source, elements, numbers, digests = row[8:]
    listed: Sequence[int] = range(start, stop) if elements is None else array("q", elements)
    return ResultsSummary(
        node,
        listed,
        range(first, first + len(listed)) if numbers is None else array("q", numbers),
        storage,
        name,
        serializer,
        made_by,
        created_ns,
        source or b"",
        digests or b"",
    )
