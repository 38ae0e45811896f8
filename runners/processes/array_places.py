"""Places at which numpy makes large arrays in this process, where some are offered to it.

numpy has its memory from a handler that can be another one (NEP 49). Ours, in ``array_places.c``,
takes memory that was offered for blocks of its size, and has the handler that was there before for
all others. Where it could not be compiled when dataflow was installed, there are no places.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

LEAST_BYTES = 8_000_000
"""Smaller arrays find no place: they are copied as soon."""
_LIBRARY = Path(__file__).parent / "libarray_places.so"
_PLACES = 16
_SET_HANDLER, _GET_HANDLER = 304, 305  # in the table of numpy's functions for C
_CAPSULE = b"mem_handler"
_VERSION = 1


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
        self._places.least = LEAST_BYTES

    def offer(self, start: int, size: int) -> int | None:
        """Offer memory for one array at a time.

        Args:
            start: its address.
            size: bytes; arrays of half of that and more may be made there.

        Returns:
            The number of the place; None: there are so many already.
        """
        for number, place in enumerate(self._places.all):
            if place.state == PlaceState.EMPTY:
                place.start, place.size = start, size
                place.state = PlaceState.FREE
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

    None: there are none, as nothing was compiled, or numpy is older than that.
    """
    return make_places(_LIBRARY) if _LIBRARY.exists() else None


def make_places(path: Path) -> ArrayPlaces | None:
    """Have numpy ask a library for memory, once, and that ask the handler that there was before.

    Args:
        path: of what was compiled of ``array_places.c``.

    Returns:
        The places that it knows; None: numpy is older than that.
    """
    import numpy

    core: Any = numpy._core if hasattr(numpy, "_core") else numpy.core
    if not hasattr(core.multiarray, "get_handler_name"):
        return None
    library = ctypes.CDLL(str(path))
    table = _pointer_in(core._multiarray_umath._ARRAY_API, None)
    functions = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
    before = ctypes.PYFUNCTYPE(ctypes.py_object)(functions[_GET_HANDLER])()
    handler = _Handler.from_address(_pointer_in(before, _CAPSULE))
    if handler.version != _VERSION:
        return None
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(before))  # for as long as there are arrays
    _Places.in_dll(library, "array_places").behind = handler.allocator
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = (
        ctypes.py_object,
        (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p),
    )
    ours = make(ctypes.addressof(_Handler.in_dll(library, "array_handler")), _CAPSULE, None)
    ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[_SET_HANDLER])(ours)
    return ArrayPlaces(library)


def _pointer_in(capsule: Any, name: bytes | None) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    pointer: int = get(capsule, name)
    return pointer
