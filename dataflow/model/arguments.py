"""Looking inside arguments: futures are found in containers, values are put in their place.

Looked into are list, tuple, set, frozenset, dict (keys too), named tuples, dataclasses, attrs
classes and pydantic models, subclasses included; nothing else. A container in which nothing is
replaced stays the same object; one that is rebuilt keeps its type.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

ATOMS: frozenset[type] = frozenset(
    (int, float, bool, str, bytes, complex, type(None), type, range, bytearray, memoryview)
)

Replace = Callable[[Any], Any]
Kinds = tuple[type, ...]


def rebuild(value: Any, kinds: Kinds, replace: Replace) -> Any:
    """``value`` with every object of ``kinds`` inside it replaced by ``replace(object)``.

    One pass; containers of plain values cost about 20 ns an item. A container that holds itself is
    left alone where it closes the circle.
    """
    if type(value) in ATOMS:
        return value
    return _rebuild(value, kinds, replace, set())


def _rebuild(value: Any, kinds: Kinds, replace: Replace, inside: set[int]) -> Any:
    if isinstance(value, kinds):
        return replace(value)
    rebuild_kind = _rebuilder(type(value))
    if rebuild_kind is None or id(value) in inside:
        return value
    inside.add(id(value))
    try:
        return rebuild_kind(value, lambda item: _rebuild(item, kinds, replace, inside))
    finally:
        inside.discard(id(value))


_rebuilders: dict[type, Callable[[Any, Replace], Any] | None] = dict.fromkeys(ATOMS)


def _rebuilder(kind: type) -> Callable[[Any, Replace], Any] | None:
    """How values of this type are looked into (None: not at all); asked once for each type."""
    try:
        return _rebuilders[kind]
    except KeyError:
        found = _rebuilders[kind] = _choose(kind)
        return found


def _choose(kind: type) -> Callable[[Any, Replace], Any] | None:
    if issubclass(kind, (list, tuple, set, frozenset)):
        return _named_tuple if hasattr(kind, "_fields") else _sequence
    if issubclass(kind, dict):
        return _dict
    if hasattr(kind, "__pydantic_fields__"):
        return _model
    if hasattr(kind, "__dataclass_fields__"):
        return _fields_of(tuple(kind.__dataclass_fields__))
    if hasattr(kind, "__attrs_attrs__"):
        return _fields_of(tuple(field.name for field in kind.__attrs_attrs__))
    return None


def _is_plain(items: Any) -> bool:
    return set(map(type, items)) <= ATOMS


def _sequence(value: Any, replace: Replace) -> Any:
    if _is_plain(value):
        return value
    items = list(map(replace, value))
    if all(map(_same, items, value)):
        return value
    kind = type(value)
    if kind is list:
        return items
    if isinstance(value, list):
        fresh = copy.copy(value)
        fresh[:] = items
        return fresh
    return kind(items)


def _same(a: Any, b: Any) -> bool:
    return a is b


def _named_tuple(value: Any, replace: Replace) -> Any:
    items = list(map(replace, value))
    return value if all(map(_same, items, value)) else type(value)._make(items)


def _dict(value: dict[Any, Any], replace: Replace) -> Any:
    if _is_plain(value) and _is_plain(value.values()):
        return value
    items = [(replace(key), replace(item)) for key, item in value.items()]
    if all(a is b and c is d for (a, c), (b, d) in zip(items, value.items(), strict=True)):
        return value
    if type(value) is dict:
        return dict(items)
    fresh = copy.copy(value)
    fresh.clear()
    for key, item in items:  # not update(): a Counter would count the pairs
        fresh[key] = item
    return fresh


def _model(value: Any, replace: Replace) -> Any:
    return _with_changes(value, replace, tuple(type(value).__pydantic_fields__), _copy_model)


def _copy_model(value: Any, changes: Mapping[str, Any]) -> Any:
    return value.model_copy(update=changes)


def _fields_of(names: tuple[str, ...]) -> Callable[[Any, Replace], Any]:
    return lambda value, replace: _with_changes(value, replace, names, _copy_object)


def _copy_object(value: Any, changes: Mapping[str, Any]) -> Any:
    fresh = copy.copy(value)
    for name, item in changes.items():
        object.__setattr__(fresh, name, item)
    return fresh


def _with_changes(
    value: Any,
    replace: Replace,
    names: tuple[str, ...],
    copy_with: Callable[[Any, Mapping[str, Any]], Any],
) -> Any:
    changes = {}
    for name in names:
        before = getattr(value, name, None)
        after = replace(before)
        if after is not before:
            changes[name] = after
    return copy_with(value, changes) if changes else value
