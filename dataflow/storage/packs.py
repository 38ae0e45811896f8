"""Packs: the results of a batch in one object, with an index and checksums.

A pack is its *pieces* one after the other, an index (msgpack) and a footer. A piece is one value,
or many small ones serialized as one list; it has one or more segments (a pickle, and the buffers of
its arrays), each with its length and CRC-32. What was cut off, or has other bytes than were
written, is found when it is read.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import msgpack

from dataflow.errors import ResultCorrupt
from dataflow.storage.result_storage import ResultStorage
from dataflow.storage.serializers import Serializer, find_serializer

_MAGIC = b"dflwpk1\n"
_FOOTER = struct.Struct("<QI8s")
_JOINT_BYTES = 200_000
_PIECE_BYTES = 64_000
_WHOLE_BYTES = 1_000_000
_MOST_FAR_BYTES = 64_000_000


class CannotSerialize(Exception):
    """The value at ``position`` cannot be serialized."""

    def __init__(self, position: int, error: Exception) -> None:
        super().__init__(position, error)
        self.position = position
        self.error = error


def pack_values(values: Sequence[Any], serializer: Serializer) -> list[Any]:
    """The buffers of a pack of some values.

    Raises:
        CannotSerialize: the serializer does not take one of them.
    """
    buffers: list[Any] = []
    index = []
    at = 0
    for first, count, parts in _pieces(values, serializer):
        segments = []
        for part in parts:
            size = memoryview(part).nbytes
            segments.append((at, size, zlib.crc32(part)))
            buffers.append(part)
            at += size
        index.append((first, count, segments))
    packed = msgpack.packb((serializer.full_name, len(values), index))
    return [*buffers, packed, _FOOTER.pack(len(packed), zlib.crc32(packed), _MAGIC)]


def _pieces(values: Sequence[Any], serializer: Serializer) -> list[tuple[int, int, list[Any]]]:
    """First value, number of values (0: one, by itself) and buffers of each piece."""
    count = len(values)
    if count > 1 and serializer.joins:
        try:
            parts = serializer.dump_parts(list(values))
        except Exception:  # one of them cannot be dumped: alone, it shows which
            return [(at, 0, _dump(values, at, serializer)) for at in range(count)]
        nbytes = sum(memoryview(part).nbytes for part in parts)
        if nbytes <= _JOINT_BYTES:
            return [(0, count, parts)]
        size = _PIECE_BYTES * count // nbytes
        if size > 1:
            return [
                (at, len(some), serializer.dump_parts(list(some)))
                for at in range(0, count, size)
                for some in (values[at : at + size],)
            ]
    return [(at, 0, _dump(values, at, serializer)) for at in range(count)]


def _dump(values: Sequence[Any], at: int, serializer: Serializer) -> list[Any]:
    try:
        return serializer.dump_parts(values[at])
    except Exception as error:
        raise CannotSerialize(at, error) from error


class Pack:
    """A pack that has been written: its index has been read, values are read when asked for.

    Raises:
        ResultMissing: it is not there.
        ResultCorrupt: it is not what was written.
        StorageError: the storage cannot be read.
    """

    def __init__(self, storage: ResultStorage, name: str) -> None:
        self._storage = storage
        self.name = name
        self.size = storage.size(name)
        self._data: bytes | None = None
        if self.size <= _WHOLE_BYTES:
            self._data = storage.read(name)
            self.size = len(self._data)
        full_name, self.count, self._index = self._read_index()
        self.serializer = find_serializer(full_name)
        self._firsts = [first for first, _, _ in self._index]

    def _read_index(self) -> Any:
        end = self.size - _FOOTER.size
        if end < 0:
            raise self._corrupt("it is cut off")
        length, checksum, magic = _FOOTER.unpack(self._read(end, _FOOTER.size))
        if magic != _MAGIC or length > end:
            raise self._corrupt("it is cut off, or no result at all")
        packed = self._read(end - length, length)
        if zlib.crc32(packed) != checksum:
            raise self._corrupt("its index is damaged")
        return msgpack.unpackb(packed, use_list=False)

    def _read(self, start: int, length: int) -> Any:
        if self._data is not None:
            return memoryview(self._data)[start : start + length]
        return self._storage.read(self.name, start, length)

    @property
    def nbytes(self) -> int:
        """Bytes of it that are held in memory."""
        return 0 if self._data is None else self.size

    def piece_of(self, number: int) -> int:
        """The piece that a value is in."""
        return bisect_right(self._firsts, number) - 1

    def place_in(self, piece: int, number: int) -> int | None:
        """Where a value is in the list that its piece is; None: it is the piece."""
        first, count, _ = self._index[piece]
        return number - first if count else None

    def load_piece(self, piece: int) -> Any:
        """The value of a piece, or the list of its values, made anew."""
        return self.serializer.load_parts(self._segments(piece))

    def load(self, number: int) -> Any:
        """One value, made anew."""
        piece = self.piece_of(number)
        at = self.place_in(piece, number)
        value = self.load_piece(piece)
        return value if at is None else value[at]

    def verify(self) -> None:
        """Read all of it (of a large one that is far away, only what says how large it is).

        Raises:
            ResultMissing: it is not there any more.
            ResultCorrupt: it is not what was written.
        """
        if not self._storage.is_local and self.size > _MOST_FAR_BYTES:
            return
        for piece in range(len(self._index)):
            self._segments(piece)

    def _segments(self, piece: int) -> list[Any]:
        found = []
        for start, length, checksum in self._index[piece][2]:
            data = self._read(start, length)
            if len(data) != length or zlib.crc32(data) != checksum:
                raise self._corrupt("its checksum does not fit")
            found.append(data)
        return found

    def _corrupt(self, reason: str) -> ResultCorrupt:
        return ResultCorrupt(
            f"The result {self._storage.shown}/{self.name} is damaged: {reason}.",
            hint="Remove it; a run that needs it computes it again.",
        )
