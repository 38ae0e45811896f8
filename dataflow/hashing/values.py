"""Values as text that is the same wherever and whenever it is made, to be hashed.

Two values have the same text if they have the same content: dicts and sets in any order, arrays and
frames by their bytes, objects by their class and state, functions by their source. Builtin values
cost fractions of a microsecond: ``ascii`` writes numbers, text and lists of them in C, and does not
depend on the version of Python. What cannot be told by its content raises ``Unhashable``.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
import uuid
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dataflow.hashing.buffers import buffer_digest
from dataflow.hashing.encoding import (
    PLAIN,
    Encode,
    Encoder,
    Unhashable,
    digest_of,
    plain_text,
)
from dataflow.hashing.functions import function_text

__all__ = ["source_of", "text_of"]


def text_of(value: Any) -> str:
    """The text of a value.

    Raises:
        Unhashable: it has no content that could be told.
    """
    if type(value) in PLAIN:
        return plain_text(value)
    return Encoder(_encoder_of).text(value)


def source_of(fn: Any) -> bytes:
    """The hash that changes when what a function does may have changed."""
    return digest_of(function_text(fn, Encoder(_encoder_of)))


def _sequence(value: Any, encoder: Encoder) -> str:
    name = "" if type(value) in (list, tuple) else _name(type(value))
    if not name and set(map(type, value)) <= PLAIN:
        try:
            return ascii(value)
        except ValueError:
            pass
    items = ",".join(encoder.part(f"[{at}]", item) for at, item in enumerate(value))
    return f"{name}({items})" if isinstance(value, tuple) else f"{name}[{items}]"


def _set(value: Any, encoder: Encoder) -> str:
    name = "set" if isinstance(value, set) else "frozenset"
    return f"{name}{{{','.join(sorted(encoder.part('{}', item) for item in value))}}}"


def _dict(value: Any, encoder: Encoder) -> str:
    name = "" if type(value) is dict else _name(type(value))
    return name + mapping_text(value, encoder)


def mapping_text(value: Mapping[Any, Any], encoder: Encoder) -> str:
    """The text of what a mapping holds, in the order of its keys' texts."""
    items = [
        (encoder.part("{}", key), encoder.part(f"[{key!r:.40}]", item))
        for key, item in value.items()
    ]
    return "{" + ",".join(f"{key}:{item}" for key, item in sorted(items)) + "}"


def _name(kind: type) -> str:
    """What a class is called; a script's own is the same when it is imported instead."""
    module = "" if kind.__module__ in ("__main__", "__mp_main__") else kind.__module__
    return f"{module}.{kind.__qualname__}"


def _bytes(value: Any, _encoder: Encoder) -> str:
    return f"bytes:{buffer_digest(value)}"


def _ascii(value: Any, _encoder: Encoder) -> str:
    return f"{_name(type(value))}:{value!s}"


def _path(value: Any, _encoder: Encoder) -> str:
    return f"path:{value.as_posix()}"


def _datetime(value: Any, _encoder: Encoder) -> str:
    return f"{type(value).__name__}:{value.isoformat()}:{getattr(value, 'tzinfo', None)!s}"


def _enum(value: Any, _encoder: Encoder) -> str:
    return f"{_name(type(value))}.{value.name}"


def _class(value: Any, _encoder: Encoder) -> str:
    return f"class:{_name(value)}"


def _module(value: Any, _encoder: Encoder) -> str:
    return f"module:{value.__name__}"


def _partial(value: Any, encoder: Encoder) -> str:
    parts = map(encoder.text, (value.func, value.args, value.keywords))
    return f"partial({','.join(parts)})"


def _method(value: Any, encoder: Encoder) -> str:
    return f"method({encoder.part('.__self__', value.__self__)},{value.__func__.__qualname__})"


def _fields(names: tuple[str, ...]) -> Encode:
    def encode(value: Any, encoder: Encoder) -> str:
        parts = (f"{name}={encoder.part(f'.{name}', getattr(value, name, None))}" for name in names)
        return f"{_name(type(value))}({','.join(parts)})"

    return encode


def _model(value: Any, encoder: Encoder) -> str:
    extra = getattr(value, "__pydantic_extra__", None) or {}
    state = {**value.__dict__, **extra}
    return _name(type(value)) + mapping_text(state, encoder)


def _declared(value: Any, encoder: Encoder) -> str:
    return f"{_name(type(value))}:{value.name}:{encoder.part('.fn', value.fn)}"


def _object(value: Any, encoder: Encoder) -> str:
    """Anything else as pickle would take it apart: what makes it, and its state."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception as error:
        raise Unhashable(value, f"has no content that can be hashed ({error})") from None
    name = _name(type(value))
    if isinstance(reduced, str):
        return f"{name}:{reduced}"
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    parts = [encoder.part("", make), encoder.part("", arguments)]
    if state is not None:
        parts.append(_state(state, encoder))
    if items is not None:
        parts.append(encoder.part("", list(items)))
    if pairs is not None:
        parts.append(encoder.part("", dict(pairs)))
    return f"{name}({','.join(parts)})"


def _state(state: Any, encoder: Encoder) -> str:
    if not isinstance(state, dict):
        return encoder.part("", state)
    items = [(name, encoder.part(f".{name}", item)) for name, item in state.items()]
    return "{" + ",".join(f"{name}:{item}" for name, item in sorted(items, key=str)) + "}"


def _builtin(value: Any, _encoder: Encoder) -> str:
    return f"builtin:{getattr(value, '__module__', '')}.{value.__qualname__}"


_ENCODERS: dict[type, Encode] = {
    list: _sequence,
    tuple: _sequence,
    dict: _dict,
    set: _set,
    frozenset: _set,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    range: lambda value, _: repr(value),
    slice: lambda value, _: repr(value),
    type(Ellipsis): lambda value, _: "...",
    decimal.Decimal: _ascii,
    fractions.Fraction: _ascii,
    uuid.UUID: _ascii,
    datetime.date: _datetime,
    datetime.datetime: _datetime,
    datetime.time: _datetime,
    datetime.timedelta: _ascii,
    re.Pattern: lambda value, _: f"pattern:{value.pattern!a}:{value.flags}",
    types.FunctionType: function_text,
    types.BuiltinFunctionType: _builtin,
    types.MethodType: _method,
    types.ModuleType: _module,
    functools.partial: _partial,
}
_BY_LIBRARY: dict[tuple[str, str], str] = {
    ("numpy", "ndarray"): "arrays.array_text",
    ("numpy", "generic"): "arrays.scalar_text",
    ("pandas", "DataFrame"): "frames.frame_text",
    ("pandas", "Series"): "frames.series_text",
    ("pandas", "Index"): "frames.index_text",
    ("pandas", "ExtensionArray"): "frames.array_text",
    ("polars", "DataFrame"): "tables.polars_text",
    ("polars", "Series"): "tables.polars_text",
    ("pyarrow", "Table"): "tables.table_text",
    ("pyarrow", "RecordBatch"): "tables.table_text",
    ("pyarrow", "ChunkedArray"): "tables.table_text",
    ("pyarrow", "Array"): "tables.table_text",
    ("pyarrow", "Scalar"): "tables.table_text",
    ("pyarrow", "Schema"): "tables.description_text",
    ("pyarrow", "Field"): "tables.description_text",
    ("pyarrow", "DataType"): "tables.description_text",
}
"""What writes the types of libraries, by where they are defined: loaded with the first value."""


def _encoder_of(kind: type) -> Encode:
    """How values of a type are written; asked once for each type."""
    found = _ENCODERS.get(kind)
    if found is None:
        found = _ENCODERS[kind] = _choose(kind)
    return found


_BY_BASE: tuple[tuple[type, Encode], ...] = (
    (type, _class),
    (enum.Enum, _enum),
    (pathlib.PurePath, _path),
    (datetime.tzinfo, _ascii),
)


def _choose(kind: type) -> Encode:
    for base in kind.__mro__:
        found = _BY_LIBRARY.get((base.__module__.partition(".")[0], base.__name__))
        if found is not None and (encode := _loaded(found)) is not None:
            return encode
    for ours, encode in _BY_BASE:
        if issubclass(kind, ours):
            return encode
    if hasattr(kind, "__pydantic_fields__"):
        return _model
    if hasattr(kind, "__dataclass_fields__"):
        return _fields(tuple(kind.__dataclass_fields__))
    if hasattr(kind, "__attrs_attrs__"):
        return _fields(tuple(field.name for field in kind.__attrs_attrs__))
    if hasattr(kind, "state_to_send"):  # a task or a flow
        return _declared
    return _object_or_container(kind)


def _loaded(name: str) -> Encode | None:
    module, _, function = name.partition(".")
    try:
        encode: Encode = getattr(import_module(f"dataflow.hashing.{module}"), function)
    except ImportError:  # polars may be there without pyarrow: it is hashed as it is pickled
        return None
    return encode


def _object_or_container(kind: type) -> Encode:
    """Subclasses of containers that have a state of their own are objects."""
    for bases, encode in (((list, tuple), _sequence), (dict, _dict), ((set, frozenset), _set)):
        if issubclass(kind, bases) and not getattr(kind, "__dictoffset__", 0):
            return encode
    return _object
