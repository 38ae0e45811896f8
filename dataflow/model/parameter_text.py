"""Parameters of flows as text: read from a command line, and written down for the store.

What is written down is for people first, and never fails nor gets large; it says of each parameter
that cannot be made from it again, so that a run is not resumed with others than it was given.
"""

from __future__ import annotations

import json
import math
import reprlib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

_MOST_TEXT = 200
_MOST_JSON = 64_000
_MOST_ITEMS = 1_000
_MOST_CHARACTERS = 4_000
_MOST_DEPTH = 12
_MOST_BITS = 4_096

NOT_AS_GIVEN = "…"
CUT, CONVERTED = "cut", "converted"
"""Not all that there was; or what the parameter's type may make what was given of."""
T = TypeVar("T")


def parse_parameter(text: str) -> Any:
    """The value of ``name=value`` on a command line: JSON, or the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> typing.NoReturn:
    raise ValueError(f"{name} is no JSON")


def parameters_to_json(parameters: Mapping[str, Any]) -> str:
    """The parameters as JSON text for the store, in at most about 64 kB; never raises.

    What JSON does not know is shown as text, large values are cut: under ``NOT_AS_GIVEN``, which is
    no name of a parameter, it says of which names that is so.
    """
    try:
        room = _Room(_MOST_ITEMS)
        shown, changed = {}, {}
        for name, value in parameters.items():
            room.is_cut = False
            shown[name] = jsonable(value, room)
            if room.is_cut or not _is_same(shown[name], value):
                changed[name] = CUT if room.is_cut else CONVERTED
        text = json.dumps({**shown, NOT_AS_GIVEN: changed} if changed else shown)
    except Exception:  # records must not fail because of a parameter's own methods
        return _short_json(parameters)
    return text if len(text) <= _MOST_JSON else _short_json(parameters)


def shown_parameters(text: str) -> dict[str, Any]:
    """The parameters that :func:`parameters_to_json` wrote down."""
    found: dict[str, Any] = json.loads(text)
    found.pop(NOT_AS_GIVEN, None)
    return found


def not_as_given(text: str) -> dict[str, str]:
    """Which of the parameters written down are not as they were given, by name, and how."""
    found: dict[str, str] = json.loads(text).get(NOT_AS_GIVEN, {})
    return found


def _short_json(parameters: Mapping[str, Any]) -> str:
    shown: dict[str, Any] = {}
    size = 0
    for name, value in parameters.items():
        shown[name[:_MOST_TEXT]] = text = short_text(value)
        size += min(len(name), _MOST_TEXT) + len(text)
        if size > _MOST_JSON // 6:  # a character is six at most
            break
    return json.dumps({**shown, NOT_AS_GIVEN: dict.fromkeys(shown, CUT)})


def _is_same(shown: Any, value: Any) -> bool:
    """Whether JSON has a value exactly as it is."""
    kind = type(value)
    if type(shown) is not kind:
        return False
    if kind is list:
        return all(map(_is_same, shown, value))
    if kind is dict:
        return shown.keys() == value.keys() and all(map(_is_same, shown.values(), value.values()))
    return True  # text, a number, a boolean or None: all else is of another type by now


@dataclass(slots=True)
class _Room:
    """What more of the parameters may be shown.

    Attributes:
        items: how many.
        is_cut: whether something was left out, or shown as text from which it cannot be made.
    """

    items: int
    is_cut: bool = False

    def cut(self, shown: T) -> T:
        """``shown`` is not all that there is."""
        self.is_cut = True
        return shown


def jsonable(value: Any, room: _Room | None = None, depth: int = 0) -> Any:
    """``value`` out of what JSON knows; objects as their fields or as text.

    Args:
        value: anything.
        room: how much more may be shown, counted down; None: a thousand items.
        depth: how deep inside the parameter this is.
    """
    room = _Room(_MOST_ITEMS) if room is None else room
    room.items -= 1
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        if len(value) <= _MOST_CHARACTERS:
            return value
        return room.cut(value[:_MOST_CHARACTERS] + "…")
    if kind is int:
        if value.bit_length() <= _MOST_BITS:
            return value
        return room.cut(f"<int of {value.bit_length()} bits>")
    if kind is float:
        return value if math.isfinite(value) else room.cut(repr(value))
    if depth >= _MOST_DEPTH or room.items <= 0:
        return room.cut(short_text(value))
    return _jsonable_object(value, room, depth + 1)


def _jsonable_object(value: Any, room: _Room, depth: int) -> Any:
    kind = type(value)
    if issubclass(kind, Mapping):
        return _jsonable_items(value.items(), len(value), room, depth)
    if issubclass(kind, (list, tuple, set, frozenset)):
        shown = [jsonable(item, room, depth) for item in islice(value, room.items)]
        return shown + _left_out(len(value) - len(shown), room)
    fields = getattr(kind, "__pydantic_fields__", None) or getattr(
        kind, "__dataclass_fields__", None
    )
    if fields:
        pairs = [(name, getattr(value, name, None)) for name in fields]
        return _jsonable_items(pairs, len(pairs), room, depth)
    return _as_text(value, room)


def _jsonable_items(
    items: Iterable[tuple[Any, Any]], length: int, room: _Room, depth: int
) -> dict[str, Any]:
    shown = {
        _key(key, room): jsonable(item, room, depth) for key, item in islice(items, room.items)
    }
    return shown | ({"…": text[0]} if (text := _left_out(length - len(shown), room)) else {})


def _key(key: Any, room: _Room) -> str:
    if type(key) is str:
        return key
    is_number = type(key) is int and key.bit_length() <= _MOST_BITS
    return str(key if is_number else _as_text(key, room))


def _left_out(number: int, room: _Room) -> list[str]:
    return room.cut([f"… {number:,} more"]) if number > 0 else []


def _as_text(value: Any, room: _Room) -> Any:
    if hasattr(type(value), "isoformat"):
        return value.isoformat()
    if hasattr(type(value), "__members__"):  # an enum
        return jsonable(value.value, _Room(1))
    if hasattr(type(value), "__fspath__") or type(value).__name__ in ("UUID", "Decimal"):
        return str(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of NumPy's
        return jsonable(value.item(), _Room(1))
    return room.cut(short_text(value))


class _ShortRepr(reprlib.Repr):
    """Looks at no more of a value than it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _MOST_TEXT
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 12


def short_text(value: Any) -> str:
    """``repr(value)`` on one line, cut to 200 characters; never raises."""
    try:
        text = _ShortRepr().repr(value)
    except Exception:  # whatever a user's __repr__ raises
        text = f"<{type(value).__name__}>"
    if "\n" in text:
        text = " ".join(text.split())
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
