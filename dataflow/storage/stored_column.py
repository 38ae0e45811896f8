"""Values that are in a storage, as a column: read when they are asked for, in whatever process."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from dataflow.storage.packs import Pack
from dataflow.storage.result_storage import open_storage
from dataflow.worker.lending import is_fixed
from dataflow.worker.loading import while_loading

_MOST_PACKS = 256
_MOST_BYTES = 32_000_000
_MOST_PIECES = 4
_TAKEN = object()
_packs: OrderedDict[tuple[str, str], Pack] = OrderedDict()
_lock = threading.Lock()


class PackPlace(NamedTuple):
    """Where a pack is, and the run that made it."""

    storage: str
    name: str
    run_id: str = ""


def pack_place(result_object: Any) -> PackPlace:
    """The place of an object, as stores tell it."""
    return PackPlace(result_object.storage, result_object.name, result_object.run_id)


def open_pack(place: PackPlace) -> Pack:
    """A pack, its index read; small ones stay in memory for a while.

    Raises:
        ResultMissing: it is not there.
        ResultCorrupt: it is not what was written.
        StorageError: the storage cannot be read.
    """
    key = place.storage, place.name
    with _lock:
        pack = _packs.pop(key, None)
        if pack is not None:
            _packs[key] = pack
            return pack
    pack = Pack(open_storage(place.storage), place.name)
    with _lock:
        _packs[key] = pack
        while len(_packs) > _MOST_PACKS or (_held_bytes() > _MOST_BYTES and len(_packs) > 1):
            _packs.popitem(last=False)
    return pack


def _held_bytes() -> int:
    return sum(pack.nbytes for pack in _packs.values())


def forget_pack(place: PackPlace) -> None:
    """Read a pack anew when it is needed again."""
    with _lock:
        _packs.pop((place.storage, place.name), None)


class StoredColumn:
    """Values of packs; nobody gets an object that somebody else has.

    Args:
        places: the packs.
        which: for each value its pack (None: all are in the first).
        numbers: for each value its number in the pack.
        nbytes: about how many bytes they take.
    """

    __slots__ = ("__weakref__", "_loaded", "_lock", "nbytes", "numbers", "places", "which")

    def __init__(
        self,
        places: Sequence[PackPlace],
        which: array[int] | None,
        numbers: Sequence[int],
        nbytes: int = 0,
    ) -> None:
        self.places = places
        self.which = which
        self.numbers = numbers
        self.nbytes = nbytes
        self._lock = threading.Lock()
        self._loaded: OrderedDict[tuple[int, int], list[Any]] = OrderedDict()

    @property
    def count(self) -> int:
        """How many values."""
        return len(self.numbers)

    def place_of(self, position: int) -> PackPlace:
        """The pack that has the value at ``position``."""
        return self.places[0 if self.which is None else self.which[position]]

    def load(self, position: int) -> Any:
        """The value at ``position``.

        Raises:
            ResultMissing: it is not there any more, or damaged.
            StorageError: the storage cannot be read.
        """
        with while_loading():
            pack = open_pack(self.place_of(position))
            number = self.numbers[position]
            piece = pack.piece_of(number)
            at = pack.place_in(piece, number)
            if at is None:
                return pack.load_piece(piece)
            return self._load_joint(
                pack, (0 if self.which is None else self.which[position], piece), at
            )

    def _load_joint(self, pack: Pack, key: tuple[int, int], at: int) -> Any:
        with self._lock:
            values = self._loaded.get(key)
            if values is None or values[at] is _TAKEN:
                values = self._loaded[key] = pack.load_piece(key[1])
                while len(self._loaded) > _MOST_PIECES:
                    self._loaded.popitem(last=False)
            value = values[at]
            if not is_fixed(value):
                values[at] = _TAKEN
            return value

    def load_range(self, start: int, stop: int) -> list[Any]:
        """The values from ``start`` to ``stop``."""
        return [self.load(position) for position in range(start, stop)]

    def load_all(self) -> list[Any]:
        """All values."""
        return self.load_range(0, self.count)

    def __sizeof__(self) -> int:
        return 200 + 12 * len(self.numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredColumn, (self.places, self.which, self.numbers, self.nbytes)
