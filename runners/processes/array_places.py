"""Places at which numpy makes large arrays in this process, where some are offered to it.

numpy has its memory from a handler that can be another one (NEP 49). Ours, in ``array_places.c``,
takes memory that was offered for blocks of its size, and has the handler that was there before for
all others. Where it could not be compiled when dataflow was installed, there are no places.
"""

from __future__ import annotations

import ctypes
import threading
from enum import IntEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from dataflow.worker.file_columns import APART_BYTES

_LIBRARY = Path(__file__).parent / "libarray_places.so"
_PLACES = 16
_SET_HANDLER, _GET_HANDLER = 304, 305  # in the table of numpy's functions for C
_VERSION = 1
_new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))
_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class PlaceState(IntEnum):
    """What becomes of a place; see ``array_places.c``."""

    EMPTY = 0
    FREE = 1
    TAKEN = 2
    LEFT = 3
    ENDED = 4


class _Allocator(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")
    )


class _Handler(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("allocator", _Allocator),
    )


class _Place(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t), ("state", ctypes.c_int))


class _Places(ctypes.Structure):
    _fields_ = (
        ("behind", _Allocator),
        ("least", ctypes.c_size_t),
        ("first", ctypes.c_void_p),
        ("last", ctypes.c_void_p),
        ("missed", ctypes.c_size_t),
        ("all", _Place * _PLACES),
    )


class ArrayPlaces:
    """The places of this process, by their numbers.

    Args:
        library: what was compiled of ``array_places.c``.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._change = library.place_change
        self._places = _Places.in_dll(library, "array_places")
        self._places.least = APART_BYTES
        self._lock = threading.Lock()

    @property
    def has_room(self) -> bool:
        """Whether another place can be offered."""
        return any(place.state == PlaceState.EMPTY for place in self._places.all)

    def offer(self, start: int, size: int) -> int | None:
        """Offer memory for one array at a time.

        Args:
            start: its address.
            size: bytes; arrays of half of that and more may be made there.

        Returns:
            The number of the place; None: there are so many already.
        """
        places = self._places
        with self._lock:
            for number, place in enumerate(places.all):
                if place.state == PlaceState.EMPTY:
                    place.start, place.size = start, size
                    places.first = min(places.first or start, start)
                    places.last = max(places.last or start, start)
                    self.change(number, PlaceState.EMPTY, PlaceState.FREE)
                    return number
        return None

    def state(self, number: int) -> PlaceState:
        """The state of a place."""
        return PlaceState(self._places.all[number].state)

    def change(self, number: int, before: PlaceState, after: PlaceState) -> bool:
        """Change the state of a place; False: it is another one by now."""
        return bool(self._change(ctypes.byref(self._places.all[number]), before, after))

    def take_missed(self) -> int:
        """How many arrays found all places of their size taken, since this was asked last."""
        missed: int = self._places.missed
        self._places.missed = 0
        return missed


@cache
def array_places() -> ArrayPlaces | None:
    """The places of this process, for arrays that are made in the context of the first caller.

    None: there are none, as nothing was compiled, or it is not for this system or this numpy.
    """
    if not _LIBRARY.exists():
        return None
    try:
        return make_places(_LIBRARY)
    except Exception:  # whatever is wrong with it: arrays are made as ever
        return None


def make_places(path: Path) -> ArrayPlaces | None:
    """Have numpy ask a library for memory, and that ask the handler that there was before.

    Args:
        path: of what was compiled of ``array_places.c``.

    Returns:
        The places that it knows; None: it is of another version than this module, or numpy is.

    Raises:
        Exception: it cannot be loaded, or there is no such numpy.
    """
    import numpy

    library = ctypes.CDLL(str(path))
    if ctypes.c_size_t.in_dll(library, "array_places_size").value != ctypes.sizeof(_Places):
        return None
    core = "numpy.core" if numpy.__version__.startswith("1.") else "numpy._core"
    inner: Any = import_module(f"{core}._multiarray_umath")
    if not hasattr(inner, "get_handler_name"):
        return None
    table = _pointer_in(inner._ARRAY_API, None)
    functions = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
    name = ctypes.addressof(ctypes.c_char.in_dll(library, "array_capsule"))
    before = ctypes.PYFUNCTYPE(ctypes.py_object)(functions[_GET_HANDLER])()
    theirs = _Handler.from_address(_pointer_in(before, ctypes.string_at(name)))
    ours = _Handler.in_dll(library, "array_handler")
    if theirs.version != _VERSION:
        return None
    if ctypes.addressof(theirs) != ctypes.addressof(ours):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(before))  # for as long as there are arrays
        _Places.in_dll(library, "array_places").behind = theirs.allocator
        set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[_SET_HANDLER])
        set_handler(_new_capsule(ctypes.addressof(ours), name, None))
    return ArrayPlaces(library)
