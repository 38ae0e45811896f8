"""Arrow tables, batches and arrays: their schema and their values, however these lie in memory.

Chunks, slices, what lies under nulls, bitmaps of nothing but ones and the order of a dictionary do
not count. A column is the places of its nulls and the values that are not null, hashed in blocks of
a number of rows that follows from its type, so that blocks are made and hashed by several threads
and no column is copied whole; only lists and structures with nulls are.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pyarrow
from pyarrow import compute, types

from dataflow.hashing.buffers import BLOCK_BYTES, blocks_digest
from dataflow.hashing.encoding import Encoder, Unhashable

_BLOCK_ROWS = 1 << 17
"""Of what has no fixed width; a multiple of 8, for bits."""


def table_text(table: Any, _encoder: Encoder) -> str:
    """A table, batch, array or scalar of Arrow: what it is, its schema and its content."""
    if isinstance(table, pyarrow.Table | pyarrow.RecordBatch):
        name = "table" if isinstance(table, pyarrow.Table) else "batch"
        columns = ",".join(map(column_text, table.columns))
        return f"{name}:{_schema_text(table.schema)}:{table.num_rows}:{columns}"
    if isinstance(table, pyarrow.Scalar):
        table, name = pyarrow.repeat(table, 1), "scalar"
    else:
        name = "chunked" if isinstance(table, pyarrow.ChunkedArray) else "array"
    return f"{name}:{type_text(table.type)}:{column_text(table)}"


def polars_text(value: Any, encoder: Encoder) -> str:
    """A DataFrame or a Series of polars, which lends its columns to Arrow."""
    frame = value.to_frame() if hasattr(value, "to_frame") else value
    for name, kind in frame.schema.items():
        if kind.is_object():  # all that Arrow gets of them is where they are
            raise Unhashable(value, f"has objects of Python in column {name!r}")
    return f"polars.{type(value).__qualname__}:{table_text(pyarrow.table(frame), encoder)}"


def description_text(description: Any, _encoder: Encoder) -> str:
    """A schema, a field or a type."""
    if isinstance(description, pyarrow.Schema):
        return _schema_text(description)
    if isinstance(description, pyarrow.Field):
        return f"field:{_field_text(description)}"
    return f"type:{type_text(description)}"


# --- schemas --------------------------------------------------------------------------------------


def _schema_text(schema: Any) -> str:
    return f"schema[{','.join(map(_field_text, schema))}]{_metadata_text(schema.metadata)}"


def _field_text(field: Any) -> str:
    return f"{field.name!a}={_unnamed_text(field)}"


def _unnamed_text(field: Any) -> str:
    null = "?" if field.nullable else ""
    return f"{type_text(field.type)}{null}{_metadata_text(field.metadata)}"


def type_text(kind: Any) -> str:
    """A type; what the items of a list are called is no part of it, as Arrow has it."""
    if isinstance(kind, pyarrow.BaseExtensionType):
        serialize = getattr(kind, "__arrow_ext_serialize__", None)
        parameters = serialize() if serialize is not None else str(kind)
        return f"{kind.extension_name!a}({parameters!a},{type_text(kind.storage_type)})"
    if types.is_dictionary(kind):
        values, codes = type_text(kind.value_type), type_text(kind.index_type)
        return f"dictionary({values},{codes},{bool(kind.ordered)})"
    if not kind.num_fields:
        return str(kind)
    named = types.is_struct(kind) or types.is_union(kind)
    fields = (kind.field(at) for at in range(kind.num_fields))
    inner = ",".join(map(_field_text if named else _unnamed_text, fields))
    names = ("list_size", "keys_sorted", "type_codes")
    details = [getattr(kind, name) for name in names if hasattr(kind, name)]
    return f"{str(kind).partition('<')[0]}({inner}){details}"


def _metadata_text(metadata: dict[bytes, bytes] | None) -> str:
    if not metadata:
        return ""
    return str(sorted((key, _without_writer(key, value)) for key, value in metadata.items()))


def _without_writer(key: bytes, value: bytes) -> bytes:
    """What pandas notes (which columns are its index), but not by which version."""
    if key != b"pandas":
        return value
    try:
        noted = json.loads(value)
        noted.pop("creator", None)
        noted.pop("pandas_version", None)
    except (ValueError, AttributeError, TypeError):  # not written by pandas
        return value
    return json.dumps(noted, sort_keys=True).encode()


# --- columns --------------------------------------------------------------------------------------


def column_text(column: Any) -> str:
    """The values of an array, chunked or not; their type is told elsewhere.

    Raises:
        Unhashable: Arrow cannot take apart what is in it.
    """
    try:
        column.validate()  # what is not valid might end the process
        return _column_text(column)
    except pyarrow.ArrowException as error:
        raise Unhashable(column, f"of type {column.type} cannot be hashed ({error})") from None


def _column_text(column: Any) -> str:
    if not isinstance(column, pyarrow.ChunkedArray):
        column = pyarrow.chunked_array([column])
    column = _as_stored(column)
    kind = column.type
    if types.is_null(kind):
        return str(len(column))
    if types.is_union(kind):
        return _parts_text(len(column), _parts_of_union(column))
    if types.is_dictionary(kind) and kind.ordered:
        return _parts_text(len(column), _parts_of_ordered(column))
    if not types.is_nested(kind):
        rows = _rows_of_blocks(kind)
        count = -(-len(column) // rows)
        digest = blocks_digest(count, lambda at: _block(column.slice(at * rows, rows)))
        return f"{len(column)}:{digest}"
    present = [column.is_valid()] if column.null_count else []
    parts = _parts_of_structs(column) if types.is_struct(kind) else _parts_of_lists(column)
    return _parts_text(len(column), [*present, *parts])


def _parts_text(length: int, parts: list[Any]) -> str:
    return f"{length}({','.join(map(_column_text, parts))})"


def _as_stored(column: Any) -> Any:
    """The same values in the layout that is hashed: without extensions, runs, maps and views."""
    kind = column.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        stored = [chunk.storage for chunk in column.chunks]
        return _as_stored(pyarrow.chunked_array(stored, kind.storage_type))
    if types.is_run_end_encoded(kind):
        decoded = [compute.run_end_decode(chunk) for chunk in column.chunks]
        return _as_stored(pyarrow.chunked_array(decoded, kind.value_type))
    if types.is_dictionary(kind) and _is_view(kind.value_type) and column.num_chunks:
        return _as_stored(
            pyarrow.chunked_array([_dictionary_without_views(each) for each in column.chunks])
        )
    if types.is_dictionary(kind) and not (kind.ordered or _is_simple(kind.value_type)):
        decoded = [chunk.dictionary_decode() for chunk in column.chunks]
        return _as_stored(pyarrow.chunked_array(decoded, kind.value_type))
    if types.is_map(kind):
        return column.cast(pyarrow.list_(kind.field(0)))
    return _without_views(column) if _is_view(kind) else column


def _is_view(kind: Any) -> bool:
    return bool(types.is_string_view(kind) or types.is_binary_view(kind))


def _without_views(column: Any) -> Any:
    plain = pyarrow.large_string() if types.is_string_view(column.type) else pyarrow.large_binary()
    try:
        return column.cast(plain)
    except pyarrow.ArrowNotImplementedError:  # by the first versions that had them
        made = pyarrow.array(column.to_pylist(), plain)
        return pyarrow.chunked_array([made]) if isinstance(column, pyarrow.ChunkedArray) else made


def _dictionary_without_views(array: Any) -> Any:
    values = _without_views(array.dictionary)
    return pyarrow.DictionaryArray.from_arrays(array.indices, values, ordered=array.type.ordered)


def _is_simple(kind: Any) -> bool:
    """Text, bytes, or numbers of which equal ones are the same bits."""
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_binary,
        types.is_large_binary,
        types.is_integer,
        types.is_temporal,
    )
    return any(test(kind) for test in tests)


# --- columns of columns ---------------------------------------------------------------------------


def _parts_of_structs(column: Any) -> list[Any]:
    kinds = [column.type.field(at).type for at in range(column.type.num_fields)]
    return [
        pyarrow.chunked_array([_of_structs(chunk, at) for chunk in column.chunks], kind)
        for at, kind in enumerate(kinds)
    ]


def _of_structs(structs: Any, at: int) -> Any:
    """The values of a field, where the structure is not null."""
    values = structs.field(at)  # flatten() ends the process if it is a union
    if not structs.null_count:
        return values
    try:
        return values.filter(structs.is_valid())
    except pyarrow.ArrowNotImplementedError:  # of views and runs; slower, but any type is flattened
        mask = structs.is_null()
        return pyarrow.FixedSizeListArray.from_arrays(values, 1, mask=mask).flatten()


def _parts_of_lists(column: Any) -> list[Any]:
    """How many items each has, and the items.

    Of items that are null by their type there is nothing to tell, and of none at all: there, Arrow
    may believe that they begin behind the last one, and ends the process.
    """
    kind, parts = column.type.value_type, []
    if not types.is_fixed_size_list(column.type):
        parts.append(compute.list_value_length(column))
    if not types.is_null(kind):
        items = [chunk.flatten() for chunk in column.chunks if len(chunk)]
        parts.append(pyarrow.chunked_array(items, kind))
    return parts


def _parts_of_ordered(column: Any) -> list[Any]:
    """A dictionary whose order means something: all of it, and the places in it."""
    unified = column.unify_dictionaries()
    codes = [chunk.indices for chunk in unified.chunks]
    dictionaries = [chunk.dictionary for chunk in unified.chunks[:1]]
    return [
        pyarrow.chunked_array(codes, column.type.index_type),
        pyarrow.chunked_array(dictionaries, column.type.value_type),
    ]


def _parts_of_union(column: Any) -> list[Any]:
    """Which field each value is of, and the values of each field: the rest of it is garbage."""
    kind, parts = column.type, []
    codes = [_buffer_of_union(chunk, 1, pyarrow.int8()) for chunk in column.chunks]
    for at, code in enumerate(kind.type_codes):
        chosen = [
            _of_field(chunk, at, compute.equal(mine, code))
            for chunk, mine in zip(column.chunks, codes, strict=True)
        ]
        parts.append(pyarrow.chunked_array(chosen, kind.field(at).type))
    return [pyarrow.chunked_array(codes, pyarrow.int8()), *parts]


def _of_field(union: Any, at: int, chosen: Any) -> Any:
    if union.type.mode == "sparse":
        return union.field(at).filter(chosen)
    return union.field(at).take(_buffer_of_union(union, 2, pyarrow.int32()).filter(chosen))


def _buffer_of_union(union: Any, at: int, kind: Any) -> Any:
    """Its ``type_codes`` and ``offsets`` are those from before it was sliced."""
    buffers = [None, union.buffers()[at]]
    return pyarrow.Array.from_buffers(kind, len(union), buffers, offset=union.offset)


# --- blocks of rows -------------------------------------------------------------------------------


def _rows_of_blocks(kind: Any) -> int:
    width = 0 if types.is_dictionary(kind) else _bits_of_width(kind)
    return max(8, BLOCK_BYTES // width * 8) if width else _BLOCK_ROWS


def _bits_of_width(kind: Any) -> int:
    try:
        return int(kind.bit_width)
    except ValueError:  # each value has its own
        return 0


def _block(column: Any) -> list[Any]:
    """The buffers of some rows: how many are null, which, and the values of the others."""
    if types.is_dictionary(column.type):
        return [buffer for part in _coded(column) for buffer in _block(part)]
    buffers: list[Any] = [str(column.null_count).encode()]
    if column.null_count:
        buffers.append(_bits(column.is_valid()))
        column = column.drop_null()
    return buffers + _values(column)


def _values(column: Any) -> list[Any]:
    """Of a column without nulls."""
    kind = column.type
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if types.is_boolean(kind):
        return [_bits(column)]
    if types.is_binary(kind) or types.is_string(kind):
        return _texts(chunks, 4)
    if types.is_large_binary(kind) or types.is_large_string(kind):
        return _texts(chunks, 8)
    if types.is_floating(kind):
        chunks = [_with_one_nan(chunk) for chunk in chunks]
    width = kind.bit_width // 8
    if not width:
        return []
    return [_part(chunk.buffers()[1], chunk.offset, len(chunk), width) for chunk in chunks]


def _part(buffer: Any, offset: int, length: int, width: int) -> memoryview:
    return memoryview(buffer)[offset * width : (offset + length) * width]


def _bits(column: Any) -> bytearray:
    """Bits from the first one on; those after the last one are zero."""
    if not len(column):
        return bytearray()
    joined = pyarrow.concat_arrays(column.chunks)
    count = -(-len(joined) // 8)
    bits = bytearray(memoryview(joined.buffers()[1])[:count])
    bits[-1] &= 0xFF >> (count * 8 - len(joined))
    return bits


def _texts(chunks: list[Any], width: int) -> list[Any]:
    """Texts or bytes of any length: the length of each, and all of them in one."""
    lengths, contents = [], []
    for chunk in chunks:
        _, offsets, content = chunk.buffers()
        around = _part(offsets, chunk.offset, len(chunk) + 1, width)
        first, last = (int.from_bytes(around[at:][:width], sys.byteorder) for at in (0, -width))
        counted = compute.binary_length(chunk)
        lengths.append(_part(counted.buffers()[1], counted.offset, len(chunk), width))
        if content is not None:
            contents.append(memoryview(content)[first:last])
    return lengths + contents


def _with_one_nan(numbers: Any) -> Any:
    """The same numbers; whatever is not a number is so in the same bits."""
    if not types.is_float16(numbers.type):  # of these there is no sum
        total = compute.sum(numbers).as_py()
        if total is None or not math.isnan(total):
            return numbers
    nan = pyarrow.scalar(math.nan, numbers.type)
    return compute.if_else(compute.is_nan(numbers), nan, numbers)


def _coded(column: Any) -> tuple[Any, Any]:
    """Values of dictionaries: their places among those that occur, in the order in which they do.

    A null in a dictionary is a null, and a value that a dictionary has twice is one value.
    """
    places = [chunk.indices.dictionary_encode() for chunk in column.chunks]
    used = [
        chunk.dictionary.take(each.dictionary)
        for chunk, each in zip(column.chunks, places, strict=True)
    ]
    values = pyarrow.concat_arrays(used).dictionary_encode()
    codes, start = [], 0
    for each in places:
        codes.append(values.indices[start:].take(each.indices))
        start += len(each.dictionary)
    return pyarrow.chunked_array(codes), pyarrow.chunked_array([values.dictionary])
